package api

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

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
	if err := checkStrength(password); err != nil {
		return "", err
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	return encodeHash(password, salt), nil
}

// minDistinct is how many different characters a password has at least.
const minDistinct = 5

// common are words that everybody tries, alone or with digits around them.
var common = []string{"password", "passwort", "qwertyuiop", "qwertzuiop", "letmein", "administrator", "admin", "welcome", "skerry", "iloveyou", "changeme", "secret"}

// checkStrength refuses passwords that are among the first that anybody tries: repeated characters,
// rows of the alphabet, common words with nothing but digits and signs around them.
func checkStrength(password string) error {
	if len(password) < minPassword || len(password) > 1024 {
		return fmt.Errorf("password: must have %d to 1024 characters", minPassword)
	}
	const advice = "a few unrelated words make a good one"
	distinct := map[rune]bool{}
	var plain []rune // letters, in lower case
	row := 0         // steps to the next character of a row, either way, or to the same again
	before := rune(-2)
	for _, r := range password {
		distinct[r] = true
		if unicode.IsLetter(r) {
			plain = append(plain, unicode.ToLower(r))
		}
		if d := r - before; d >= -1 && d <= 1 {
			row++
		}
		before = r
	}
	if len(distinct) < minDistinct {
		return fmt.Errorf("password: has only %d different characters, at least %d are needed: %s", len(distinct), minDistinct, advice)
	}
	left := string(plain)
	for _, word := range common {
		left = strings.ReplaceAll(left, word, "")
	}
	if left == "" && len(plain) > 0 {
		return fmt.Errorf("password: is a common word with nothing but digits and signs around it: %s", advice)
	}
	if 3*row >= 2*utf8.RuneCountInString(password) {
		return fmt.Errorf("password: is mostly a row of neighbours or repeats: %s", advice)
	}
	return nil
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
