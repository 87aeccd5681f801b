package prequential

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
)

// WritePlot draws the error of a run over its rows as an SVG picture: the learner's, the last
// value's, and the rows where drift was found.
func (r *TableReport) WritePlot(w io.Writer) error {
	const width, height, left, top, right, bottom = 900.0, 360.0, 64.0, 40.0, 16.0, 44.0
	b := bufio.NewWriter(w)
	high, rows := 0.0, 1.0
	for _, p := range r.Curve {
		high, rows = max(high, p.Error, p.Last), float64(p.Row+1)
	}
	if high == 0 || math.IsInf(high, 0) || math.IsNaN(high) {
		high = 1
	}
	x := func(row int) float64 { return left + (width-left-right)*float64(row)/rows }
	y := func(v float64) float64 { return height - bottom - (height-top-bottom)*min(v/high, 1) }
	what := "mean absolute error"
	if r.Kind == "classification" {
		what = "share of wrong classes"
	}
	fmt.Fprintf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", width, height)
	fmt.Fprintf(b, "<text x=\"%g\" y=\"20\" font-size=\"14\">%s of %s by row: %s, last value</text>\n", left, what, html.EscapeString(r.Target), html.EscapeString(r.Learner))
	for k := range 5 {
		v := high * float64(k) / 4
		fmt.Fprintf(b, "<line x1=\"%g\" x2=\"%g\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/><text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n", left, width-right, y(v), y(v), left-6, y(v)+4, v)
		row := int(rows-1) * k / 4
		fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%d</text>\n", x(row), height-bottom+18, row)
	}
	for _, row := range r.Drifts {
		fmt.Fprintf(b, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\" stroke=\"#c33\" stroke-dasharray=\"3 3\"><title>drift at row %d</title></line>\n", x(row), x(row), top, height-bottom, row)
	}
	for _, line := range []struct {
		color string
		value func(CurvePoint) float64
	}{{"#999", func(p CurvePoint) float64 { return p.Last }}, {"#06c", func(p CurvePoint) float64 { return p.Error }}} {
		fmt.Fprintf(b, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"", line.color)
		for _, p := range r.Curve {
			fmt.Fprintf(b, "%.1f,%.1f ", x(p.Row), y(line.value(p)))
		}
		fmt.Fprint(b, "\"/>\n")
	}
	fmt.Fprintf(b, "<g><line x1=\"%g\" x2=\"%g\" y1=\"32\" y2=\"32\" stroke=\"#06c\" stroke-width=\"2\"/><text x=\"%g\" y=\"36\">%s</text><line x1=\"%g\" x2=\"%g\" y1=\"32\" y2=\"32\" stroke=\"#999\" stroke-width=\"2\"/><text x=\"%g\" y=\"36\">last value</text></g>\n</svg>\n",
		left, left+20, left+26, html.EscapeString(r.Learner), width-130, width-110, width-104)
	return b.Flush()
}
