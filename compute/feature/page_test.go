package feature

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestPage holds docs/formats/pipeline.md to the code: its example is a pipeline, and it names
// every op and every token.
func TestPage(t *testing.T) {
	b, err := os.ReadFile("../../docs/formats/pipeline.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	_, example, _ := strings.Cut(page, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	var p Pipeline
	if err := json.Unmarshal([]byte(example), &p); err != nil {
		t.Fatal(err)
	}
	if err := p.Check(); err != nil {
		t.Error(err)
	}
	_, table, _ := strings.Cut(page, "## Ops\n")
	table, tokens, _ := strings.Cut(table, "## Expressions\n")
	for _, op := range Ops() {
		if !strings.Contains(table, "`"+string(op)+"`") {
			t.Errorf("the page does not name op %q", op)
		}
	}
	for _, token := range []string{TokenNumber, TokenSeries, TokenColumn, TokenAdd, TokenSub, TokenMul, TokenDiv, TokenMin, TokenMax, TokenAbs, TokenLog1p, TokenSqrt, TokenIfMissing} {
		if !strings.Contains(tokens, "`"+token+"`") {
			t.Errorf("the page does not name token %q", token)
		}
	}
}
