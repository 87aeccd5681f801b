package gbdt

import (
	"math"
	"unsafe"

	"skerry.dev/compute/binned"
)

// A histogram holds, for each column, 256 sums of packed gradients, one per bin; bin 0 is missing.
type histogram []int64

const histBins = 256

// newHistogram makes room for one sum more than there are: a pointer that has passed the last
// column must still point into it.
func newHistogram(cols int) histogram { return make(histogram, cols*histBins+1)[:cols*histBins] }

func (h histogram) column(j int) *[histBins]int64 {
	return (*[histBins]int64)(h[j*histBins:])
}

// packing describes how a gradient and a hessian share an int64: round(g/scaleG)<<shift +
// round(h/scaleH). The sums of a bin are packed the same way. They cannot overflow, since neither
// half does for the fullest bin there is; sums over bins are taken apart first.
type packing struct {
	scaleG, scaleH float64
	shift          uint
	mask           int64
}

// newPacking finds the finest scales for gradients up to topG, hessians up to topH and bins of up
// to rows rows. With unit set hessians are whole numbers of rows.
func newPacking(topG, topH float64, rows int, unit bool) packing {
	var p packing
	n := float64(max(rows, 1))
	const minScale = 1e-280 // reciprocals of scales must be numbers: less counts as nothing
	if !(topG >= minScale) {
		topG = 1
	}
	if !(topH >= minScale) {
		topH = 1
	}
	if unit {
		p.scaleH = 1
		p.shift = uint(math.Ilogb(n)) + 2
	} else {
		p.shift = 32
		p.scaleH = topH / max(1, min(math.Floor((1<<32-1)/n)-1, 1<<30))
	}
	p.mask = 1<<p.shift - 1
	p.scaleG = topG / max(1, min(math.Floor(math.Ldexp(1, 63-int(p.shift))/n)-1, 1<<30))
	return p
}

// gradient and hessian take a packed sum apart.
func (p *packing) gradient(v int64) int64 { return v >> p.shift }
func (p *packing) hessian(v int64) int64  { return v & p.mask }

// roundMagic is 1.5·2⁵²: adding it leaves a whole number in the low bits, rounded half to even,
// for values below 2⁵¹.
const roundMagic = 3 << 51

func round(x float64) int64 {
	return int64(math.Float64bits(x+roundMagic)) - int64(0x4338000000000000)
}

// pack returns one row's packed gradient.
func (p *packer) pack(g, h float64) int64 {
	return round(float64(g*p.invG))<<p.shift + round(float64(h*p.invH))
}

// packer is a packing with the reciprocals of its scales.
type packer struct {
	packing
	invG, invH float64
}

func newPacker(p packing) packer { return packer{p, 1 / p.scaleG, 1 / p.scaleH} }

// fullest returns the number of rows in the fullest bin of a matrix.
func fullest(x *binned.Matrix, threads int) int {
	most := make([]int, x.Cols())
	binned.Parallel(threads, x.Cols(), func(from, to int) {
		for j := from; j < to; j++ {
			var count [4][histBins]int // four, so that equal neighbours do not wait for each other
			col := x.Col[j]
			for ; len(col) >= 4; col = col[4:] {
				count[0][col[0]]++
				count[1][col[1]]++
				count[2][col[2]]++
				count[3][col[3]]++
			}
			for _, b := range col {
				count[0][b]++
			}
			for b := range count[0] {
				most[j] = max(most[j], count[0][b]+count[1][b]+count[2][b]+count[3][b])
			}
		}
	})
	top := 0
	for _, n := range most {
		top = max(top, n)
	}
	return top
}

// gatherRows is how many rows are copied together before they are counted: few enough to be
// counted out of the first cache.
const gatherRows = 256

// gather copies rows of words 8-byte words.
func gather(dst, src []uint8, words int, rows []int32) {
	d, s := unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src))
	for _, i := range rows {
		p := unsafe.Add(s, int(i)*words*8)
		for range words {
			*(*uint64)(d) = *(*uint64)(p)
			d, p = unsafe.Add(d, 8), unsafe.Add(p, 8)
		}
	}
}

// count is the innermost loop of training: for each row 8 bins per load, one read-modify-write
// each, and no bounds checks. That is sound because a bin is a byte and every column has 256 of
// them, and because a row ends with a whole word (binned.Matrix). What pointers walk has room
// behind its end, so that none ever points outside.
func count(h histogram, rows []uint8, stride int, packed []int64, from, to int) {
	first := unsafe.Pointer(&h[from*histBins])
	row := unsafe.Add(unsafe.Pointer(unsafe.SliceData(rows)), from)
	eights, rest := (to-from)/8, (to-from)%8
	for _, v := range packed {
		p, c := row, first
		for range eights {
			w := *(*uint64)(p)
			*(*int64)(unsafe.Add(c, uintptr(uint8(w))*8)) += v
			*(*int64)(unsafe.Add(c, uintptr(uint8(w>>8))*8+2048)) += v
			*(*int64)(unsafe.Add(c, uintptr(uint8(w>>16))*8+4096)) += v
			*(*int64)(unsafe.Add(c, uintptr(uint8(w>>24))*8+6144)) += v
			*(*int64)(unsafe.Add(c, uintptr(uint8(w>>32))*8+8192)) += v
			*(*int64)(unsafe.Add(c, uintptr(uint8(w>>40))*8+10240)) += v
			*(*int64)(unsafe.Add(c, uintptr(uint8(w>>48))*8+12288)) += v
			*(*int64)(unsafe.Add(c, uintptr(w>>56)*8+14336)) += v
			p, c = unsafe.Add(p, 8), unsafe.Add(c, 16384)
		}
		if rest >= 4 {
			w := *(*uint32)(p)
			*(*int64)(unsafe.Add(c, uintptr(uint8(w))*8)) += v
			*(*int64)(unsafe.Add(c, uintptr(uint8(w>>8))*8+2048)) += v
			*(*int64)(unsafe.Add(c, uintptr(uint8(w>>16))*8+4096)) += v
			*(*int64)(unsafe.Add(c, uintptr(w>>24)*8+6144)) += v
			p, c = unsafe.Add(p, 4), unsafe.Add(c, 8192)
		}
		for range rest % 4 {
			*(*int64)(unsafe.Add(c, uintptr(*(*uint8)(p))*8)) += v
			p, c = unsafe.Add(p, 1), unsafe.Add(c, 2048)
		}
		row = unsafe.Add(row, stride)
	}
}

// countSome is count for columns that do not stand side by side.
func countSome(h histogram, rows []uint8, stride int, packed []int64, cols []int) {
	for k, v := range packed {
		bins := rows[k*stride:][:stride]
		for _, j := range cols {
			h[j*histBins+int(bins[j])] += v
		}
	}
}
