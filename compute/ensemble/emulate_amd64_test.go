package ensemble

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// The AVX-512 kernels run here on every amd64 processor, in an emulator that reads their text. It
// knows the instructions that the kernels use and no others, after Intel's manual: operands stand
// in Go's order, the destination last. The AVX2 kernels run in it as well as on the processor,
// which holds the emulator to the truth in what both have in common.

// machine is a processor that works on this process's memory.
type machine struct {
	code  map[string][]instruction // by function
	data  map[string][]byte
	r     map[string]uint64
	v     [32][64]byte
	k     [8]uint64
	zero  bool
	less  bool
	args  map[string]uint64
	steps int
}

type instruction struct {
	op     string
	args   []string
	target int // of a jump
}

var dataLine = regexp.MustCompile(`^DATA (\w+)<>\+(\d+)\(SB\)/1, \$(0x[0-9a-f]+)`)

func newMachine(t *testing.T) *machine {
	t.Helper()
	text, err := os.ReadFile("kernels_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{code: map[string][]instruction{}, data: map[string][]byte{}}
	var name string
	labels := map[string]map[string]int{}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "//")
		line = strings.TrimSpace(line)
		if d := dataLine.FindStringSubmatch(line); d != nil {
			b, _ := strconv.ParseUint(d[3], 0, 8)
			m.data[d[1]] = append(m.data[d[1]], byte(b))
			continue
		}
		op, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#") || op == "GLOBL":
		case op == "TEXT":
			name, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(rest), "·"), "(")
			m.code[name], labels[name] = nil, map[string]int{}
		case strings.HasSuffix(op, ":"):
			labels[name][strings.TrimSuffix(op, ":")] = len(m.code[name])
		default:
			i := instruction{op: op}
			for _, a := range strings.Split(rest, ", ") {
				i.args = append(i.args, strings.TrimSpace(a))
			}
			m.code[name] = append(m.code[name], i)
		}
	}
	for name, code := range m.code {
		for i := range code {
			if op := code[i].op; op == "JMP" || op == "JNZ" || op == "JLT" {
				at, ok := labels[name][code[i].args[0]]
				if !ok {
					t.Fatalf("%s: no label %s", name, code[i].args[0])
				}
				code[i].target = at
			}
		}
	}
	return m
}

var memory = regexp.MustCompile(`^(-?\d*)\((\w+)\)(?:\((\w+)\*(\d)\))?$`)

// address returns where an operand in memory lies, nil when it is none.
func (m *machine) address(a string) unsafe.Pointer {
	if name, ok := strings.CutSuffix(a, "<>+0(SB)"); ok {
		return unsafe.Pointer(&m.data[name][0])
	}
	f := memory.FindStringSubmatch(a)
	if f == nil {
		return nil
	}
	offset, _ := strconv.Atoi(f[1])
	if f[3] != "" {
		scale, _ := strconv.Atoi(f[4])
		offset += int(m.r[f[3]]) * scale
	}
	base := m.r[f[2]] // what it points to is kept by the caller of the kernel
	return unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&base)), offset)
}

func number(a, of string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(a, of))
	if err != nil {
		panic("emulator: operand " + a)
	}
	return n
}

// width is the number of bytes of a vector operand.
func width(a string) int { return map[byte]int{'X': 16, 'Y': 32, 'Z': 64}[a[0]] }

// vector reads n bytes.
func (m *machine) vector(a string, n int) (v [64]byte) {
	if p := m.address(a); p != nil {
		copy(v[:], unsafe.Slice((*byte)(p), n))
		return v
	}
	return m.v[number(a[1:], "")]
}

// set writes n bytes; the rest of a register becomes 0, as VEX and EVEX encodings have it.
func (m *machine) set(a string, v [64]byte, n int) {
	if p := m.address(a); p != nil {
		copy(unsafe.Slice((*byte)(p), n), v[:n])
		return
	}
	clear(v[n:])
	m.v[number(a[1:], "")] = v
}

// scalar reads an immediate, a register or an argument; size is that of a word in memory.
func (m *machine) scalar(a string, size int) uint64 {
	if imm, ok := strings.CutPrefix(a, "$"); ok {
		n, err := strconv.ParseUint(imm, 0, 64)
		if err != nil {
			panic("emulator: " + a)
		}
		return n
	}
	if name, ok := strings.CutSuffix(a, "(FP)"); ok {
		name, _, _ = strings.Cut(name, "+")
		return m.args[name]
	}
	if p := m.address(a); p != nil {
		var w [8]byte
		copy(w[:], unsafe.Slice((*byte)(p), size))
		return binary.LittleEndian.Uint64(w[:])
	}
	return m.r[a]
}

// run executes a function.
func (m *machine) run(name string, args map[string]uint64) {
	m.args, m.r = args, map[string]uint64{}
	for i := range m.v {
		for j := range m.v[i] {
			m.v[i][j] = 0xa5 // whatever was there before
		}
	}
	code := m.code[name]
	if code == nil {
		panic("emulator: no function " + name)
	}
	for pc := 0; ; pc++ {
		i := &code[pc]
		m.steps++
		switch i.op {
		case "RET":
			return
		case "JMP":
			pc = i.target - 1
		case "JNZ":
			if !m.zero {
				pc = i.target - 1
			}
		case "JLT":
			if m.less {
				pc = i.target - 1
			}
		default:
			if !m.general(i) {
				m.vectors(i)
			}
		}
	}
}

// general executes an instruction on general registers.
func (m *machine) general(i *instruction) bool {
	a := i.args
	switch i.op {
	case "MOVQ":
		m.r[a[1]] = m.scalar(a[0], 8)
	case "MOVL":
		m.r[a[1]] = m.scalar(a[0], 4) & math.MaxUint32
	case "MOVBLZX":
		m.r[a[1]] = m.scalar(a[0], 1) & 0xff
	case "ADDQ":
		m.r[a[1]] += m.scalar(a[0], 8)
	case "SUBQ":
		m.r[a[1]] -= m.scalar(a[0], 8)
		m.zero = m.r[a[1]] == 0
	case "SHRQ":
		m.r[a[1]] >>= m.scalar(a[0], 8)
	case "DECQ":
		m.r[a[0]]--
		m.zero = m.r[a[0]] == 0
	case "DECL":
		m.r[a[0]] = (m.r[a[0]] - 1) & math.MaxUint32
		m.zero = m.r[a[0]] == 0
	case "XORL":
		m.r[a[1]] = (m.r[a[1]] ^ m.scalar(a[0], 4)) & math.MaxUint32
	case "CMPQ":
		m.less = int64(m.scalar(a[0], 8)) < int64(m.scalar(a[1], 8))
	case "VZEROUPPER":
	default:
		return false
	}
	return true
}

// vectors executes an instruction on vector registers.
func (m *machine) vectors(i *instruction) {
	a := i.args
	last := a[len(a)-1]
	n := 0
	for _, x := range a { // the width is that of the widest register
		if x[0] == 'X' || x[0] == 'Y' || x[0] == 'Z' {
			n = max(n, width(x))
		}
	}
	// bytes applies f to the bytes of two sources: the second in Intel's order first.
	bytes := func(f func(x, y byte) byte) {
		y, x := m.vector(a[0], n), m.vector(a[1], n)
		for b := range n {
			x[b] = f(x[b], y[b])
		}
		m.set(last, x, n)
	}
	flag := func(c bool) byte {
		if c {
			return 0xff
		}
		return 0
	}
	compare := func(f func(x, y byte) bool) {
		if last[0] != 'K' {
			bytes(func(x, y byte) byte { return flag(f(x, y)) })
			return
		}
		y, x := m.vector(a[0], n), m.vector(a[1], n)
		var k uint64
		for b := range n {
			if f(x[b], y[b]) {
				k |= 1 << b
			}
		}
		m.k[number(last, "K")] = k
	}
	words := func(f func(w uint16, by uint64) uint16) {
		v, by := m.vector(a[1], n), m.scalar(a[0], 8)
		for b := 0; b < n; b += 2 {
			binary.LittleEndian.PutUint16(v[b:], f(binary.LittleEndian.Uint16(v[b:]), by))
		}
		m.set(last, v, n)
	}
	double := func(v []byte, i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(v[8*i:])) }
	putDouble := func(v []byte, i int, f float64) { binary.LittleEndian.PutUint64(v[8*i:], math.Float64bits(f)) }
	switch i.op {
	case "VMOVDQU", "VMOVDQU64", "VMOVUPD":
		m.set(last, m.vector(a[0], n), n)
	case "VMOVDQU8": // source, mask, destination that keeps what is not masked
		from, to, k := m.vector(a[0], n), m.vector(last, n), m.k[number(a[1], "K")]
		for b := range n {
			if k>>b&1 == 1 {
				to[b] = from[b]
			}
		}
		m.set(last, to, n)
	case "VPXOR", "VPXORQ":
		bytes(func(x, y byte) byte { return x ^ y })
	case "VPAND", "VPANDQ":
		bytes(func(x, y byte) byte { return x & y })
	case "VPOR":
		bytes(func(x, y byte) byte { return x | y })
	case "VPMINUB":
		bytes(func(x, y byte) byte { return min(x, y) })
	case "VPSUBB":
		bytes(func(x, y byte) byte { return x - y })
	case "VPADDUSB":
		bytes(func(x, y byte) byte { return byte(min(int(x)+int(y), 255)) })
	case "VPADDB":
		if len(a) == 3 {
			bytes(func(x, y byte) byte { return x + y })
			return
		}
		y, x, to, k := m.vector(a[0], n), m.vector(a[1], n), m.vector(last, n), m.k[number(a[2], "K")]
		for b := range n {
			if k>>b&1 == 1 {
				to[b] = x[b] + y[b]
			}
		}
		m.set(last, to, n)
	case "VPCMPGTB":
		compare(func(x, y byte) bool { return int8(x) > int8(y) })
	case "VPCMPEQB":
		compare(func(x, y byte) bool { return x == y })
	case "VPMOVM2B":
		var v [64]byte
		for b := range n {
			v[b] = flag(m.k[number(a[0], "K")]>>b&1 == 1)
		}
		m.set(last, v, n)
	case "VPTERNLOGD":
		// the immediate's bit 4·destination + 2·second + third, the third standing first
		imm, z, y, x := m.scalar(a[0], 8), m.vector(a[1], n), m.vector(a[2], n), m.vector(last, n)
		for b := range n {
			var out byte
			for bit := range 8 {
				at := x[b]>>bit&1<<2 | y[b]>>bit&1<<1 | z[b]>>bit&1
				out |= byte(imm>>at&1) << bit
			}
			x[b] = out
		}
		m.set(last, x, n)
	case "VPBROADCASTD":
		var v [64]byte
		w := m.vector(a[0], 4)
		for b := range n {
			v[b] = w[b%4]
		}
		m.set(last, v, n)
	case "VBROADCASTI128":
		var v [64]byte
		w := m.vector(a[0], 16)
		for b := range n {
			v[b] = w[b%16]
		}
		m.set(last, v, n)
	case "VPSHUFB": // within 16 bytes; a set high bit gives 0
		bytes := m.vector(a[1], n)
		index, out := m.vector(a[0], n), [64]byte{}
		for b := range n {
			if index[b] < 0x80 {
				out[b] = bytes[b&^15|int(index[b]&15)]
			}
		}
		m.set(last, out, n)
	case "VPERMB": // table, index, destination
		table, index := m.vector(a[0], n), m.vector(a[1], n)
		for b := range n {
			index[b] = table[index[b]&63]
		}
		m.set(last, index, n)
	case "VPERMI2B": // upper table, lower table, index that is the destination
		upper, lower, index := m.vector(a[0], n), m.vector(a[1], n), m.vector(last, n)
		for b := range n {
			if index[b]&64 != 0 {
				index[b] = upper[index[b]&63]
			} else {
				index[b] = lower[index[b]&63]
			}
		}
		m.set(last, index, n)
	case "VPBLENDVB": // mask, taken where it is set, taken where not, destination
		mask, yes, no := m.vector(a[0], n), m.vector(a[1], n), m.vector(a[2], n)
		for b := range n {
			if mask[b] >= 0x80 {
				no[b] = yes[b]
			}
		}
		m.set(last, no, n)
	case "VPSRLW":
		words(func(w uint16, by uint64) uint16 { return w >> by })
	case "VPSLLW":
		words(func(w uint16, by uint64) uint16 { return w << by })
	case "VMOVSD":
		v := m.vector(a[0], 8)
		clear(v[8:])
		m.set(last, v, 16)
	case "VMOVHPD":
		high, v := m.vector(a[0], 8), m.vector(a[1], 16)
		copy(v[8:16], high[:8])
		m.set(last, v, 16)
	case "VINSERTF128": // position, 16 bytes, 32 bytes they go into, destination
		part, v := m.vector(a[1], 16), m.vector(a[2], 32)
		copy(v[16*m.scalar(a[0], 8):], part[:16])
		m.set(last, v, 32)
	case "VADDPD":
		y, x := m.vector(a[0], n), m.vector(a[1], n)
		for i := range n / 8 {
			putDouble(x[:], i, double(x[:], i)+double(y[:], i))
		}
		m.set(last, x, n)
	default:
		panic("emulator: instruction " + i.op)
	}
}

func pointer[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

// emulated is a set whose row and tree lanes run in m. passes and looks give rows and bins by the
// ends of the functions' names.
func (m *machine) emulated(of *instructions, passes, looks map[string]int) *instructions {
	k := *of
	k.name, k.passes, k.looks = "emulated-"+of.name, nil, nil
	for _, x := range []string{"1", "2", "4"} {
		suffix := strings.ToUpper(of.name) + "x" + x
		if rows := passes[x]; rows > 0 {
			k.passes = append(k.passes, pass{rows, func(blocks *byte, n int, entries, bins, dead *byte) {
				m.run("killRows"+suffix, map[string]uint64{"blocks": pointer(blocks), "n": uint64(n), "entries": pointer(entries), "bins": pointer(bins), "dead": pointer(dead)})
			}, func(dead *byte, trees, blocks int, leaves *float64, stride int, leaf *byte, sum *float64) {
				m.run("foldRows"+suffix, map[string]uint64{"dead": pointer(dead), "trees": uint64(trees), "blocks": uint64(blocks), "leaves": pointer(leaves), "stride": uint64(stride), "leaf": pointer(leaf), "sum": pointer(sum)})
			}})
		}
		if bins := looks[x]; bins > 0 {
			k.looks = append(k.looks, look{bins, func(counts *byte, groups int, entries, ranks, leaf *byte) {
				m.run("treeLanes"+suffix, map[string]uint64{"counts": pointer(counts), "groups": uint64(groups), "entries": pointer(entries), "ranks": pointer(ranks), "leaf": pointer(leaf)})
			}})
		}
	}
	return &k
}

// emulatedShape draws small ensembles with every number of blocks and bins for every lookup.
func emulatedShape(seed uint64) (*rand.Rand, shape) {
	rng := rand.New(rand.NewPCG(seed, 31))
	s := shape{inputs: []int{3, 14, 25, 55, 110}[seed%5], outputs: 1 + int(seed%2), splits: []int{6, 15, 31, 63}[seed%4], round32: seed%3 == 0, coarse: true}
	s.trees = s.outputs * (20 + rng.IntN(30))
	return rng, s
}

func TestEmulated(t *testing.T) {
	m := newMachine(t)
	two := m.emulated(avx2, map[string]int{"1": 32, "2": 64, "4": 128}, map[string]int{"1": 16, "2": 32, "4": 64})
	wide := m.emulated(avx512, map[string]int{"1": 64, "2": 128}, map[string]int{"1": 64, "2": 128})
	if !vectorSets()[1].has { // ranking is not emulated
		two.rank, two.sum, wide.rank, wide.sum = rankGo, sumGo, rankGo, sumGo
	}
	tried := map[string]int{}
	seeds := uint64(12)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		rng, s := emulatedShape(seed)
		e := s.build(t, rng)
		rows := []int{1, 64, 65, 128}
		x := s.rows(rng, e, 128)
		want, got := make([]float64, 128*s.outputs), make([]float64, 128*s.outputs)
		for r := range 128 {
			e.plain(want[r*s.outputs:][:s.outputs], x[r*s.inputs:][:s.inputs])
		}
		for _, set := range []*instructions{two, wide} {
			p := compile(e, set)
			single, batch := p.methods()
			p.fewest = 0
			for _, m := range single {
				if m == byTrees {
					tried[p.name(m)]++
					for r := range 6 {
						p.row(m, got[r*s.outputs:][:s.outputs], x[r*s.inputs:][:s.inputs])
					}
					compare(t, s, p.name(m), got[:6*s.outputs], want)
				}
			}
			for _, p.batch = range batch {
				if p.batch == byRows {
					tried[p.name(p.batch)]++
					for _, n := range rows {
						clear(got)
						p.rows(got[:n*s.outputs], x[:n*s.inputs], n)
						compare(t, s, p.name(p.batch), got[:n*s.outputs], want)
					}
				}
			}
		}
	}
	t.Logf("ensembles by method: %v, %d instructions", tried, m.steps)
	if len(tried) != 4 {
		t.Errorf("methods tried: %v", tried)
	}
}
