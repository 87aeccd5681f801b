package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"skerry.dev/hub/meta"
	"skerry.dev/sync/identity"
	"skerry.dev/sync/spec"
)

type enrollTokenIn struct {
	Body struct {
		Device  string `json:"device" maxLength:"63"`
		Site    string `json:"site" maxLength:"63"`
		Cohort  string `json:"cohort,omitempty" maxLength:"63"`
		Minutes int    `json:"minutes,omitempty" minimum:"0" maximum:"43200" doc:"life of the token, 0 for an hour"`
	}
}

// EnrollToken is a new enrolment token with its secret.
type EnrollToken struct {
	meta.EnrollToken
	Token string `json:"token" doc:"shown once"`
}

type idIn struct {
	ID string `path:"id" maxLength:"64"`
}

type enrollIn struct{ Body identity.EnrollRequest }
type renewIn struct{ Body identity.RenewRequest }

func (s *Server) enrollRoutes() {
	create := op("POST", "/v1/enroll-tokens", "create-enroll-token", "devices", "Create a one-time enrolment token")
	create.DefaultStatus = http.StatusCreated
	register(s, Operator, create, func(ctx context.Context, in *enrollTokenIn) (*body[EnrollToken], error) {
		b := in.Body
		for what, name := range map[string]string{"device": b.Device, "site": b.Site} {
			if !spec.ValidName(name) {
				return nil, bad("%s name %q: must be 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit", what, name)
			}
		}
		if b.Cohort != "" && !spec.ValidName(b.Cohort) {
			return nil, bad("cohort name %q: must be 1 to 63 of a-z, 0-9, - and _, and start with a letter or digit", b.Cohort)
		}
		secret, t, err := s.Fleet.CreateToken(ctx, actor(ctx), b.Device, b.Site, b.Cohort, time.Duration(b.Minutes)*time.Minute)
		return reply(EnrollToken{t, secret}, err)
	})
	register(s, Operator, op("GET", "/v1/enroll-tokens", "list-enroll-tokens", "devices", "List enrolment tokens"),
		func(ctx context.Context, _ *none) (*list[meta.EnrollToken], error) {
			return items(s.DB.Read().EnrollTokens(ctx))
		})
	register(s, Operator, op("DELETE", "/v1/enroll-tokens/{id}", "revoke-enroll-token", "devices", "Revoke an enrolment token"),
		func(ctx context.Context, in *idIn) (*none, error) {
			return nil, s.DB.Tx(ctx, func(q *meta.Queries) error {
				return errors.Join(q.RevokeEnrollToken(ctx, in.ID, meta.Now()), q.Audit(ctx, actor(ctx), "enroll_token.revoke", in.ID, ""))
			})
		})

	enroll := op("POST", identity.PathEnroll, "enroll", "agent", "Enrol a device with a one-time token")
	enroll.MaxBodyBytes = 16 << 10
	register(s, Anyone, enroll, func(ctx context.Context, in *enrollIn) (*body[identity.EnrollReply], error) {
		return reply(s.Fleet.Enroll(ctx, callerOf(ctx).Source, in.Body))
	})
	register(s, Anyone, op("POST", identity.PathNonce, "enroll-nonce", "agent", "Get a challenge for a renewal"),
		func(ctx context.Context, _ *none) (*body[identity.NonceReply], error) {
			return reply(s.Fleet.Nonce(ctx, callerOf(ctx).Source))
		})
	register(s, Anyone, op("GET", identity.PathNonce, "enroll-nonce-get", "agent", "Get a challenge for a renewal"),
		func(ctx context.Context, _ *none) (*body[identity.NonceReply], error) {
			return reply(s.Fleet.Nonce(ctx, callerOf(ctx).Source))
		})
	renew := op("POST", identity.PathRenew, "enroll-renew", "agent", "Renew a device's credential")
	renew.MaxBodyBytes = 16 << 10
	register(s, Anyone, renew, func(ctx context.Context, in *renewIn) (*body[identity.RenewReply], error) {
		return reply(s.Fleet.Renew(ctx, callerOf(ctx).Source, in.Body))
	})
}
