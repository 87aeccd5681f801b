package interchange

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"skerry.dev/compute/artifact"
)

// TestDetect holds which first bytes are those of which format.
func TestDetect(t *testing.T) {
	for text, want := range map[string]Format{
		"tree":                      LightGBM,
		"tree\nversion=v4":          LightGBM,
		"tree\r\nversion=v4":        LightGBM,
		"\xef\xbb\xbf \t\ntree x":   LightGBM,
		"trees":                     "",
		"tre":                       "",
		`{"learner":{}}`:            XGBoostJSON,
		" \n{\n":                    XGBoostJSON,
		"\xef\xbb\xbf{\"version\"":  XGBoostJSON,
		"{}":                        XGBoostJSON,
		"{L\x00\x00":                XGBoostUBJ,
		"{i\x07learner":             XGBoostUBJ,
		"{$U#U\x01":                 XGBoostUBJ,
		"{":                         "",
		"\x08\x08":                  ONNX,
		"\x08\x7f":                  ONNX,
		"\x08\x00":                  "",
		"\x08\x80\x01":              "",
		"\x12\x08":                  "",
		"":                          "",
		"\xef\xbb\xbf":              "",
		"PK\x03\x04":                "",
		"<?xml version=\"1.0\"?>\n": "",
	} {
		if got, ok := Detect([]byte(text)); got != want || ok != (want != "") {
			t.Errorf("Detect(%q) = %q, %v, want %q", text, got, ok, want)
		}
	}
}

// TestImportRefuses is what is no model: each is refused by what it is.
func TestImportRefuses(t *testing.T) {
	old := make([]byte, 200) // XGBoost's binary format: base_score, num_feature, num_class
	binary.LittleEndian.PutUint32(old, math.Float32bits(0.5))
	old[4], old[8] = 30, 2
	for _, tt := range []struct {
		name string
		b    []byte
		kind error
		want string
	}{
		{"a zip", []byte("PK\x03\x04 and more"), ErrFormat, `the first bytes "PK\x03\x04 and" are not those of`},
		{"nothing", nil, ErrFormat, `the first bytes ""`},
		{"the old binary format", append([]byte("binf"), old...), ErrUnsupported, "XGBoost's old binary format"},
		{"the old binary format without its mark", old, ErrUnsupported, "XGBoost's old binary format"},
		{"its beginning", old[:135], ErrFormat, "the first bytes"},
		{"zeros", make([]byte, 200), ErrFormat, "the first bytes"},
	} {
		m, err := ImportBytes(tt.b, Options{})
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) || m != nil {
			t.Errorf("%s: %v, want %v with %q", tt.name, err, tt.kind, tt.want)
		}
	}
	wide := bytes.Clone(old)
	wide[7] = 1 // more than 2^24 inputs: not a header of that format
	if _, err := ImportBytes(wide, Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("bytes that only look like the old format: %v", err)
	}
}

// broken is a file that cannot be read.
type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, iotest.ErrTimeout }

// TestImportReads holds what Import reports of a file that is not as long as it should be, too
// long, or cannot be read: the last is no damage of the model.
func TestImportReads(t *testing.T) {
	b := peerModel(t, "lgb_binary")
	if _, err := Import(broken{}, 100, Options{}); !errors.Is(err, iotest.ErrTimeout) || errors.Is(err, ErrFormat) {
		t.Errorf("a file that cannot be read: %v", err)
	}
	if _, err := Import(bytes.NewReader(b), int64(len(b))+1, Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a file that is shorter than it should be: %v", err)
	}
	if _, err := Import(broken{}, MaxBytes+1, Options{}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "train fewer trees") {
		t.Errorf("a file that is too long: %v", err)
	}
	m, err := Import(bytes.NewReader(b), int64(len(b)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := ImportBytes(b, Options{})
	if err != nil || m.SHA256 != again.SHA256 || m.Format != again.Format {
		t.Errorf("Import and ImportBytes differ: %v", err)
	}
}

// TestSameFileSameArtifact holds that importing twice gives the same bytes.
func TestSameFileSameArtifact(t *testing.T) {
	for _, name := range []string{"lgb_binary", "xgb17_dart", "xgb32_exact", "onnx_gbr"} {
		var digests []string
		for range 2 {
			m, err := ImportBytes(peerModel(t, name), Options{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			digests = append(digests, digestOf(t, m))
		}
		if digests[0] != digests[1] {
			t.Errorf("%s: importing twice gives artifacts %s and %s", name, digests[0], digests[1])
		}
	}
}

func digestOf(t *testing.T, m *Model) string {
	t.Helper()
	a, err := m.Artifact("pump", "wear")
	if err != nil {
		t.Fatal(err)
	}
	b, err := artifact.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	return artifact.Digest(b)
}
