package neuralfit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"skerry.dev/compute/encode"
	"skerry.dev/compute/ensemble"
	"skerry.dev/compute/neural"
)

// layer is a slice of the parameters and the space for one batch. Weights lie input by input, so
// that a product can skip inputs that are zero; those of a narrow layer, where a row would be too
// short to be worth a call, lie unit by unit.
type layer[F float] struct {
	in, out      int
	last, byUnit bool
	bias, w      param[F]
	gain, offset param[F] // with a norm
	mean, vari   []F      // BatchNorm: running estimates
	sum          []F      // a batch of sums; after a norm, of normalised sums
	hat          []F      // with a norm: sums before gain and offset
	dev          []F      // with a norm: 1/deviation, by unit or by row
	act, delta   []F      // a batch of activations; the gradient with respect to them
	mask         []F      // Dropout: 0 or 1/(1-Dropout)
}

// unitMajorBelow is the number of units below which weights lie unit by unit.
const unitMajorBelow = 16

// param is a set of parameters with its gradient and Adam's moments.
type param[F float] struct {
	v, grad, m, s []F
	decay         bool
}

func newParam[F float](n int, decay bool) param[F] {
	return param[F]{make([]F, n), make([]F, n), make([]F, n), make([]F, n), decay}
}

// embedding is the table of a column. Rows that a batch does not touch do not move (Adam as in
// TensorFlow's LazyAdam), so a step costs by the rows of the batch.
type embedding[F float] struct {
	col, levels, dim, at int // at: first column of the first layer's input
	table                param[F]
	count                []int // by row: in how many training rows
	codes                []int // of the batch
	touched              []bool
}

type trainer[F float] struct {
	Params
	d            Data
	outputs      int
	width        int // of the first layer's input
	embeddings   []*embedding[F]
	layers       []*layer[F]
	input, dIn   []F
	shift, scale float64
	meanWeight   float64
	step, steps  int
	rng          *rand.Rand
}

// centre finds the unit in which the network works: targets then have deviation 1.
func (t *trainer[F]) centre() {
	var n, mean, ss float64
	for _, i := range t.d.Train {
		n += t.d.weight(i)
	}
	for _, i := range t.d.Train {
		mean += t.d.weight(i) * t.d.Y[i] / n
	}
	for _, i := range t.d.Train {
		ss += t.d.weight(i) * (t.d.Y[i] - mean) * (t.d.Y[i] - mean) / n
	}
	t.shift = mean
	if s := math.Sqrt(ss); s > 0 && !math.IsInf(s, 0) {
		t.scale = s
	}
}

// constant returns the sums of the best constant prediction, where the last layer's biases start:
// the network need not learn it first.
func (t *trainer[F]) constant() []float64 {
	out, total := make([]float64, t.outputs), 0.0
	if t.Objective == Logistic || t.Objective == Softmax {
		share := make([]float64, max(t.outputs, 2))
		for _, i := range t.d.Train {
			share[int(t.d.Y[i])] += t.d.weight(i)
			total += t.d.weight(i)
		}
		for k := range share {
			share[k] = math.Log(max(share[k]/total, 1e-4))
		}
		if t.Objective == Logistic {
			return []float64{share[1] - share[0]}
		}
		return share
	}
	order := slices.Clone(t.d.Train)
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(t.d.Y[a], t.d.Y[b]) })
	for k, a := range t.Alphas {
		sum := 0.0
		for _, i := range order {
			if sum += t.d.weight(i); sum >= a*t.meanWeight*float64(len(order)) {
				out[k] = (t.d.Y[i] - t.shift) / t.scale
				break
			}
		}
	}
	return out
}

// build draws the first weights after He et al. (2015): variance 2/in for rectified units. The
// last layer starts small, near the best constant.
func (t *trainer[F]) build() error {
	t.width = t.d.Cols
	at, params := 0, 0
	for j := range t.d.Cols {
		k := t.d.level(j)
		if k == 0 {
			at++
			continue
		}
		e := &embedding[F]{col: j, levels: k, dim: t.Dim, at: at}
		if e.dim == 0 {
			e.dim = max(1, min(16, int(math.Round(1.6*math.Pow(float64(k), 0.56)))))
		}
		if k > neural.MaxParams || (k+1)*e.dim > neural.MaxParams {
			return fmt.Errorf("neuralfit: an embedding of %d levels", k)
		}
		e.table = newParam[F]((k+1)*e.dim, false)
		for i := range k * e.dim {
			e.table.v[i] = F(t.rng.NormFloat64() / math.Sqrt(float64(e.dim)))
		}
		e.count, e.codes, e.touched = make([]int, k+1), make([]int, t.Batch), make([]bool, k+1)
		for _, i := range t.d.Train {
			e.count[e.row(t.d.X[int(i)*t.d.Cols+j])]++
		}
		at += e.dim
		t.width += e.dim - 1
		params += (k + 1) * e.dim
		t.embeddings = append(t.embeddings, e)
	}
	widths := append(append([]int{t.width}, t.Hidden...), t.outputs)
	if n := neural.Params(widths); n == 0 || n+params > neural.MaxParams || len(t.embeddings) > neural.MaxEmbeddings {
		return fmt.Errorf("neuralfit: widths %v with %d embeddings", widths, len(t.embeddings))
	}
	t.input, t.dIn = make([]F, t.Batch*t.width), make([]F, t.Batch*t.width)
	for l := 1; l < len(widths); l++ {
		y := &layer[F]{in: widths[l-1], out: widths[l], last: l == len(widths)-1}
		y.byUnit = y.out < unitMajorBelow
		y.bias, y.w = newParam[F](y.out, false), newParam[F](y.in*y.out, true)
		y.sum, y.act, y.delta = make([]F, t.Batch*y.out), make([]F, t.Batch*y.out), make([]F, t.Batch*y.out)
		dev := math.Sqrt(2 / float64(y.in))
		if y.last {
			dev = 0.1 / math.Sqrt(float64(y.in))
			for u, v := range t.constant() {
				y.bias.v[u] = F(v)
			}
		}
		for k := range y.w.v {
			y.w.v[k] = F(dev * t.rng.NormFloat64())
		}
		if t.Norm != NoNorm && !y.last {
			y.gain, y.offset = newParam[F](y.out, false), newParam[F](y.out, false)
			y.mean, y.vari, y.hat, y.dev = make([]F, y.out), make([]F, y.out), make([]F, t.Batch*y.out), make([]F, max(t.Batch, y.out))
			for k := range y.gain.v {
				y.gain.v[k], y.vari[k] = 1, 1
			}
		}
		if t.Dropout > 0 && !y.last {
			y.mask = make([]F, t.Batch*y.out)
		}
		t.layers = append(t.layers, y)
	}
	return nil
}

func (e *embedding[F]) row(v float64) int {
	if c := encode.Code(v, e.levels); c >= 0 {
		return c
	}
	return e.levels
}

// all returns every parameter, the norms' running estimates included, to save and restore.
func (t *trainer[F]) all() [][]F {
	var out [][]F
	for _, e := range t.embeddings {
		out = append(out, e.table.v)
	}
	for _, y := range t.layers {
		out = append(out, y.bias.v, y.w.v, y.gain.v, y.offset.v, y.mean, y.vari)
	}
	return out
}

// run trains until the epochs are over, a better loss is not in sight, or Progress ends it. In
// the second case the rate was still high: the best network is trained on for a while with a rate
// that falls to 0.
func (t *trainer[F]) run(ctx context.Context) (*Model, error) {
	m := &Model{}
	m.Low, m.High = t.d.span()
	order, best := slices.Clone(t.d.Train), math.Inf(1)
	live := t.all()
	var kept [][]F
	batches := (len(order) + t.Batch - 1) / t.Batch
	t.steps = t.Epochs * batches
	ran := 0
	// epoch runs one at the rate of each step, keeps what is best, and reports whether to go on.
	epoch := func(number int, rate func(batch int) float64) (bool, error) {
		t.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for b := range batches { // all of about the same size
			if err := ctx.Err(); err != nil {
				return false, err
			}
			rows := order[b*len(order)/batches : (b+1)*len(order)/batches]
			t.forward(rows, true)
			t.backward(rows)
			t.adam(rate(b))
		}
		loss := math.NaN()
		if len(t.d.Valid) > 0 {
			loss = t.loss(t.d.Valid)
			m.Losses = append(m.Losses, loss)
			if loss < best {
				best, m.Epochs, kept = loss, number, kept[:0]
				for _, v := range live {
					kept = append(kept, slices.Clone(v))
				}
			}
		} else {
			m.Epochs = number
		}
		ran++
		return t.Progress == nil || t.Progress(ran, loss), nil
	}
	restore := func() {
		for i, v := range kept {
			copy(live[i], v)
		}
	}
	more, early := true, false
	for e := 1; e <= t.Epochs && more && !early; e++ {
		var err error
		if more, err = epoch(e, func(int) float64 { return t.rate(t.step) }); err != nil {
			return nil, err
		}
		early = e < t.Epochs && (len(t.d.Valid) > 0 && e-m.Epochs >= t.Patience || e == t.stop)
	}
	if more && early && m.Epochs > 0 && !t.steady {
		restore()
		from := m.Epochs
		cool := max(2, from/4)
		start, steps := t.rate(from*batches), float64(cool*batches)
		for e := 0; e < cool && more; e++ {
			var err error
			if more, err = epoch(from+1+e, func(b int) float64 { return start * (1 - float64(e*batches+b)/steps) }); err != nil {
				return nil, err
			}
		}
	}
	restore()
	var err error
	if m.Network, err = neural.Build(t.spec()); err != nil || (len(t.d.Valid) > 0 && kept == nil) {
		return nil, fmt.Errorf("neuralfit: training diverged, a smaller rate may help: %w", err)
	}
	return m, nil
}

// rate is the learning rate of a step.
func (t *trainer[F]) rate(step int) float64 {
	at, warm := float64(step), t.Warmup*float64(t.steps)
	if at < warm {
		return t.LearningRate * (at + 1) / (warm + 1)
	}
	return t.LearningRate * 0.5 * (1 + math.Cos(math.Pi*(at-warm)/(float64(t.steps)-warm)))
}

// spec is the network as it is now.
func (t *trainer[F]) spec() neural.Spec {
	s := neural.Spec{Inputs: t.d.Cols, Clip: t.Clip, Link: t.link(), Scale: t.scale, Shift: t.shift}
	for _, e := range t.embeddings {
		s.Embeddings = append(s.Embeddings, neural.Embedding{
			Input:  e.col,
			Levels: e.levels,
			Dim:    e.dim,
			Table:  e.export(),
		})
	}
	for _, y := range t.layers {
		s.Layers = append(s.Layers, y.export(&t.Params))
	}
	return s
}

// export returns the table, where rows that no training row had become the mean of the others.
func (e *embedding[F]) export() []float64 {
	out, mean, n := toFloat64(e.table.v), make([]float64, e.dim), 0
	for r, c := range e.count {
		n += c
		for k := range mean {
			mean[k] += float64(c) * out[r*e.dim+k]
		}
	}
	for r, c := range e.count {
		if c == 0 {
			for k := range mean {
				out[r*e.dim+k] = mean[k] / float64(n)
			}
		}
	}
	return out
}

func toFloat64[F float](v []F) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

func (y *layer[F]) export(p *Params) neural.Layer {
	l := neural.Layer{
		In:         y.in,
		Out:        y.out,
		Bias:       toFloat64(y.bias.v),
		Weights:    make([]float64, y.in*y.out),
		Activation: p.Activation,
	}
	for u := range y.out {
		for j := range y.in {
			k := j*y.out + u
			if y.byUnit {
				k = u*y.in + j
			}
			l.Weights[u*y.in+j] = float64(y.w.v[k])
		}
	}
	if y.last {
		l.Activation = neural.Linear
		return l
	}
	switch p.Norm {
	case LayerNorm:
		l.Norm = &neural.Norm{Gain: toFloat64(y.gain.v), Offset: toFloat64(y.offset.v)}
	case BatchNorm:
		for u := range y.out {
			f := float64(y.gain.v[u]) / math.Sqrt(float64(y.vari[u])+neural.Epsilon)
			l.Bias[u] = (l.Bias[u]-float64(y.mean[u]))*f + float64(y.offset.v[u])
			for j := range y.in {
				l.Weights[u*y.in+j] *= f
			}
		}
	}
	return l
}

// forward fills the activations of every layer for rows; the last layer's are its sums.
func (t *trainer[F]) forward(rows []int32, training bool) {
	n := len(rows)
	t.gather(rows)
	in := t.input
	for _, y := range t.layers {
		for k := range n {
			copy(y.sum[k*y.out:], y.bias.v)
		}
		x, sum := dense(n, y.in, in), dense(n, y.out, y.sum)
		if y.byUnit {
			multiply(false, true, x, dense(y.out, y.in, y.w.v), true, sum, t.Threads)
		} else {
			multiply(false, false, x, dense(y.in, y.out, y.w.v), true, sum, t.Threads)
		}
		if !y.last {
			t.normalise(y, n, training)
			activate(t.Activation, y.act[:n*y.out], y.sum)
			if training && y.mask != nil {
				t.drop(y, n)
			}
		} else {
			copy(y.act[:n*y.out], y.sum)
		}
		in = y.act
	}
}

// gather fills the first layer's input.
func (t *trainer[F]) gather(rows []int32) {
	for k, i := range rows {
		dst, x := t.input[k*t.width:(k+1)*t.width], t.d.X[int(i)*t.d.Cols:(int(i)+1)*t.d.Cols]
		e := 0
		for j, v := range x {
			if e < len(t.embeddings) && t.embeddings[e].col == j {
				m := t.embeddings[e]
				m.codes[k] = m.row(v)
				copy(dst, m.table.v[m.codes[k]*m.dim:(m.codes[k]+1)*m.dim])
				dst = dst[m.dim:]
				e++
				continue
			}
			if t.Clip != 0 && v != 0 {
				v = neural.Clip(v, t.Clip)
			}
			dst[0] = F(v)
			dst = dst[1:]
		}
	}
}

func (t *trainer[F]) drop(y *layer[F], n int) {
	keep := F(1 / (1 - t.Dropout))
	// 16 random bits for each unit are plenty.
	limit, bits := uint64(t.Dropout*65536), uint64(0)
	for k := range y.act[:n*y.out] {
		if k%4 == 0 {
			bits = t.rng.Uint64()
		}
		y.mask[k] = keep
		if bits&0xffff < limit {
			y.mask[k] = 0
		}
		bits >>= 16
		y.act[k] *= y.mask[k]
	}
}

// normalise turns the sums into normalised ones.
func (t *trainer[F]) normalise(y *layer[F], n int, training bool) {
	switch t.Norm {
	case LayerNorm:
		for k := range n {
			row, hat := y.sum[k*y.out:(k+1)*y.out], y.hat[k*y.out:(k+1)*y.out]
			var mean, ss F
			for _, v := range row {
				mean += v
			}
			mean /= F(y.out)
			for _, v := range row {
				ss += (v - mean) * (v - mean)
			}
			y.dev[k] = F(1 / math.Sqrt(float64(ss)/float64(y.out)+neural.Epsilon))
			for u, v := range row {
				hat[u] = (v - mean) * y.dev[k]
				row[u] = hat[u]*y.gain.v[u] + y.offset.v[u]
			}
		}
	case BatchNorm:
		mean, vari := y.mean, y.vari
		if training {
			mean, vari = make([]F, y.out), make([]F, y.out)
			for k := range n {
				for u, v := range y.sum[k*y.out : (k+1)*y.out] {
					mean[u] += v / F(n)
				}
			}
			for k := range n {
				for u, v := range y.sum[k*y.out : (k+1)*y.out] {
					vari[u] += (v - mean[u]) * (v - mean[u]) / F(n)
				}
			}
			const momentum = 0.1
			for u := range mean {
				y.mean[u] += momentum * (mean[u] - y.mean[u])
				y.vari[u] += momentum * (vari[u]*F(n)/F(max(n-1, 1)) - y.vari[u])
			}
		}
		for u, v := range vari {
			y.dev[u] = F(1 / math.Sqrt(float64(v)+neural.Epsilon))
		}
		for k := range n {
			row, hat := y.sum[k*y.out:(k+1)*y.out], y.hat[k*y.out:(k+1)*y.out]
			for u, v := range row {
				hat[u] = (v - mean[u]) * y.dev[u]
				row[u] = hat[u]*y.gain.v[u] + y.offset.v[u]
			}
		}
	}
}

// geluScale and geluCubic are those of package neural.
const (
	geluScale = 1.5957691216057308
	geluCubic = 0.044715
)

func sigmoid(s float64) float64 { return 1 / (1 + math.Exp(-s)) }

func activate[F float](a neural.Activation, dst, v []F) {
	switch a {
	case neural.ReLU:
		for k := range dst {
			dst[k] = max(v[k], 0)
		}
	case neural.GELU:
		for k := range dst {
			s := float64(v[k])
			dst[k] = F(s * sigmoid(geluScale*(s+geluCubic*s*s*s)))
		}
	default:
		copy(dst, v)
	}
}

// slope multiplies the gradient with respect to the activations by the activation's derivative at
// the sums.
func slope[F float](a neural.Activation, delta, v []F) {
	switch a {
	case neural.ReLU:
		for k := range delta {
			if v[k] <= 0 {
				delta[k] = 0
			}
		}
	case neural.GELU:
		for k := range delta {
			s := float64(v[k])
			p := sigmoid(geluScale * (s + geluCubic*s*s*s))
			delta[k] *= F(p + s*p*(1-p)*geluScale*(1+3*geluCubic*s*s))
		}
	}
}

// backward fills the gradient of the mean loss over rows.
func (t *trainer[F]) backward(rows []int32) {
	n := len(rows)
	t.outputDelta(rows)
	for l := len(t.layers) - 1; l >= 0; l-- {
		y, in, below := t.layers[l], t.input, []F(nil)
		if l > 0 {
			in, below = t.layers[l-1].act, t.layers[l-1].delta
		} else if len(t.embeddings) > 0 {
			below = t.dIn
		}
		delta := y.delta[:n*y.out]
		if !y.last {
			if y.mask != nil {
				for k := range delta {
					delta[k] *= y.mask[k]
				}
			}
			slope(t.Activation, delta, y.sum)
			t.normBackward(y, n)
		}
		d, x := dense(n, y.out, y.delta), dense(n, y.in, in)
		if y.byUnit {
			multiply(true, false, d, x, false, dense(y.out, y.in, y.w.grad), t.Threads)
		} else {
			multiply(true, false, x, d, false, dense(y.in, y.out, y.w.grad), t.Threads)
		}
		clear(y.bias.grad)
		for k := range n {
			for u, g := range delta[k*y.out : (k+1)*y.out] {
				y.bias.grad[u] += g
			}
		}
		if below == nil {
			continue
		}
		if y.byUnit {
			multiply(false, false, d, dense(y.out, y.in, y.w.v), false, dense(n, y.in, below), t.Threads)
		} else {
			multiply(false, true, d, dense(y.in, y.out, y.w.v), false, dense(n, y.in, below), t.Threads)
		}
	}
	for _, e := range t.embeddings {
		clear(e.table.grad)
		clear(e.touched)
		for k, c := range e.codes[:n] {
			e.touched[c] = true
			g := e.table.grad[c*e.dim : (c+1)*e.dim]
			for i, v := range t.dIn[k*t.width+e.at:][:e.dim] {
				g[i] += v
			}
		}
	}
}

// normBackward turns the gradient with respect to the normalised sums into that with respect to
// the sums, and fills those of gain and offset.
func (t *trainer[F]) normBackward(y *layer[F], n int) {
	if t.Norm == NoNorm {
		return
	}
	clear(y.gain.grad)
	clear(y.offset.grad)
	for k := range n {
		delta, hat := y.delta[k*y.out:(k+1)*y.out], y.hat[k*y.out:(k+1)*y.out]
		for u, g := range delta {
			y.offset.grad[u] += g
			y.gain.grad[u] += g * hat[u]
		}
		if t.Norm == LayerNorm {
			var s, p F
			for u, g := range delta {
				s += g * y.gain.v[u]
				p += g * y.gain.v[u] * hat[u]
			}
			s, p = s/F(y.out), p/F(y.out)
			for u, g := range delta {
				delta[u] = y.dev[k] * (g*y.gain.v[u] - s - hat[u]*p)
			}
		}
	}
	if t.Norm == BatchNorm {
		for k := range n {
			delta, hat := y.delta[k*y.out:(k+1)*y.out], y.hat[k*y.out:(k+1)*y.out]
			for u, g := range delta {
				delta[u] = y.gain.v[u] * y.dev[u] * (g - y.offset.grad[u]/F(n) - hat[u]*y.gain.grad[u]/F(n))
			}
		}
	}
}

// kinkWidth is over how much of a deviation the kink of the absolute error is rounded in the
// gradient, where its sign would only flicker.
const kinkWidth = 0.01

// outputDelta is the gradient of the mean loss with respect to the last layer's sums.
func (t *trainer[F]) outputDelta(rows []int32) {
	y := t.layers[len(t.layers)-1]
	g := make([]float64, y.out)
	for k, i := range rows {
		s := y.act[k*y.out : (k+1)*y.out]
		r := (t.d.Y[i] - t.shift) / t.scale
		switch t.Objective {
		case Logistic:
			g[0] = sigmoid(float64(s[0])) - t.d.Y[i]
		case Softmax:
			for u, v := range s {
				g[u] = float64(v)
			}
			ensemble.Softmax.Apply(g)
			g[int(t.d.Y[i])]--
		case Quantile, Absolute:
			for u, a := range t.Alphas {
				g[u] = (0.5 - a - 0.5*min(max((r-float64(s[u]))/kinkWidth, -1), 1)) / float64(len(t.Alphas))
			}
		case Huber:
			g[0] = -min(max(r-float64(s[0]), -t.Delta), t.Delta)
		default:
			g[0] = float64(s[0]) - r
		}
		share := t.d.weight(i) / t.meanWeight / float64(len(rows))
		for u, v := range g {
			y.delta[k*y.out+u] = F(v * share)
		}
	}
}

func (t *trainer[F]) adam(rate float64) {
	t.step++
	c1, c2 := 1-math.Pow(beta1, float64(t.step)), 1-math.Pow(beta2, float64(t.step))
	for _, e := range t.embeddings {
		for r, touched := range e.touched {
			if touched {
				e.table.adam(r*e.dim, (r+1)*e.dim, rate, 0, c1, c2)
			}
		}
	}
	for _, y := range t.layers {
		for _, p := range []*param[F]{&y.bias, &y.w, &y.gain, &y.offset} {
			decay := 0.0
			if p.decay {
				decay = t.WeightDecay
			}
			p.adam(0, len(p.v), rate, decay, c1, c2)
		}
	}
}

// Adam's moments forget at the usual rates.
const (
	beta1 = 0.9
	beta2 = 0.999
)

// adam moves the parameters from one index to another. c1 and c2 correct the moments for having
// started at 0.
func (p *param[F]) adam(from, to int, rate, decay, c1, c2 float64) {
	const eps = 1e-8
	grad, m, s, v := p.grad[from:to], p.m[from:to], p.s[from:to], p.v[from:to]
	step, root, shrink := F(rate/c1), F(1/math.Sqrt(c2)), F(rate*decay)
	for k, g := range grad {
		m[k] = beta1*m[k] + (1-beta1)*g
		s[k] = beta2*s[k] + (1-beta2)*g*g
		v[k] -= step*m[k]/(F(math.Sqrt(float64(s[k])))*root+eps) + shrink*v[k]
	}
}

// loss is the mean loss on rows in the unit of the network.
func (t *trainer[F]) loss(rows []int32) float64 {
	y, sum, total := t.layers[len(t.layers)-1], 0.0, 0.0
	s := make([]float64, y.out)
	for from := 0; from < len(rows); from += t.Batch {
		part := rows[from:min(from+t.Batch, len(rows))]
		t.forward(part, false)
		for k, i := range part {
			for u, v := range y.act[k*y.out : (k+1)*y.out] {
				s[u] = float64(v)
			}
			sum += t.d.weight(i) * t.rowLoss(s, t.d.Y[i])
			total += t.d.weight(i)
		}
	}
	return sum / total
}

func (t *trainer[F]) rowLoss(s []float64, y float64) float64 {
	r := (y - t.shift) / t.scale
	switch t.Objective {
	case Logistic:
		p := sigmoid(s[0])
		if y == 0 {
			p = 1 - p
		}
		return -math.Log(max(p, 1e-15))
	case Softmax:
		ensemble.Softmax.Apply(s)
		return -math.Log(max(s[int(y)], 1e-15))
	case Quantile, Absolute:
		loss := 0.0
		for u, a := range t.Alphas {
			loss += max(a*(r-s[u]), (a-1)*(r-s[u])) / float64(len(t.Alphas))
		}
		return loss
	case Huber:
		if e := math.Abs(r - s[0]); e > t.Delta {
			return t.Delta * (e - t.Delta/2)
		}
	}
	return (r - s[0]) * (r - s[0]) / 2
}
