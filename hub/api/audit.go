package api

import (
	"context"

	"skerry.dev/hub/meta"
)

type auditIn struct {
	After int64 `query:"after" minimum:"0"`
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s *Server) auditRoutes() {
	register(s, Admin, op("GET", "/v1/audit", "list-audit", "access", "Read the audit chain"),
		func(ctx context.Context, in *auditIn) (*list[meta.AuditEntry], error) {
			return items(s.DB.Read().AuditEntries(ctx, in.After, in.Limit))
		})
	register(s, Admin, op("GET", "/v1/audit/verify", "verify-audit", "access", "Check the audit chain"),
		func(ctx context.Context, _ *none) (*body[map[string]string], error) {
			if err := s.DB.Read().VerifyAudit(ctx); err != nil {
				return reply(map[string]string{"status": "broken", "error": err.Error()}, nil)
			}
			return reply(map[string]string{"status": "ok"}, nil)
		})
}
