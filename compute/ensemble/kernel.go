package ensemble

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// KernelVariable is the environment variable that chooses the instruction set: auto (the
// default), portable, avx2, avx512 or neon.
const KernelVariable = "SKERRY_KERNEL"

type vectorSet struct {
	*instructions
	has bool // the processor has them
}

const (
	auto     = "auto"
	portable = "portable"
)

// chosen is the process's choice. Ensembles that have been compiled keep theirs.
var chosen = sync.OnceValue(func() selection { return choose(os.Getenv(KernelVariable), vectorSets()) })

type selection struct {
	set    *instructions // nil: portable
	reason string        // why not what was requested
}

// choose finds the instructions called name.
func choose(name string, sets []vectorSet) selection {
	best := selection{}
	for i := len(sets) - 1; i >= 0; i-- {
		if sets[i].has {
			best.set = sets[i].instructions
		}
	}
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", auto:
		return best
	case portable:
		return selection{}
	}
	known := []string{auto, portable}
	for _, s := range sets {
		if s.name == name && s.has {
			return selection{set: s.instructions}
		}
		if s.name == name {
			best.reason = fmt.Sprintf("%s=%s: this processor does not have these instructions", KernelVariable, name)
			return best
		}
		known = append(known, s.name)
	}
	best.reason = fmt.Sprintf("%s=%s: not one of %s, which this architecture has", KernelVariable, name, strings.Join(known, ", "))
	return best
}

// Kernel returns the instruction set that ensembles are compiled for, and, when KernelVariable
// requests one that is unknown or that the processor lacks, why it is not that one.
func Kernel() (name, reason string) {
	s := chosen()
	if s.set == nil {
		return portable, s.reason
	}
	return s.set.name, s.reason
}

var uncompiled atomic.Bool

// SetCompile sets whether ensembles are compiled at their first prediction: laid out anew for the
// processor. Off, every prediction walks the nodes as they are encoded, which saves memory about
// as large as the encoding and gives the same bits. It holds for all ensembles of the process,
// from their next prediction on; the default is on.
func SetCompile(on bool) { uncompiled.Store(!on) }
