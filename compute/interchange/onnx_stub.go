package interchange

// ImportONNX reads an ONNX model.
func ImportONNX(b []byte, o Options) (*Model, error) {
	return nil, refused("ONNX models of %d bytes (%s)", len(b), o.Name)
}
