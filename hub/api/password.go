package api

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// argon2id with 19 MiB, two passes, one lane: the minimum OWASP recommends.
const (
	argonMemory = 19 * 1024
	argonTime   = 2
	argonLanes  = 1
	minPassword = 10
)

// HashPassword returns the argon2id hash that is stored for a password.
func HashPassword(password string) (string, error) {
	if len(password) < minPassword || len(password) > 1024 {
		return "", fmt.Errorf("password: must have %d to 1024 characters", minPassword)
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	return encodeHash(password, salt), nil
}

func encodeHash(password string, salt []byte) string {
	sum := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonLanes, 32)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonLanes, b64.EncodeToString(salt), b64.EncodeToString(sum))
}

func dummyHash() string { return encodeHash("", make([]byte, 16)) }

func checkPassword(hash, password string) bool {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > 1024 {
		return false
	}
	var version int
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &lanes); err != nil || version != argon2.Version {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(want) == 0 || lanes == 0 || passes == 0 || memory > 1<<20 {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}
