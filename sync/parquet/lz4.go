package parquet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"skerry.dev/compute/tabular"
)

// maxLZ4 bounds the unpacked bytes of a file's LZ4 columns, which are held.
const maxLZ4 = 1 << 30

// withoutLZ4 returns a file whose columns packed with LZ4 are unpacked, or the file itself when it
// has none.
//
// parquet-go 0.32.0 reads pages of LZ4_RAW wrong: when a page shrank to more than a third, its
// decoder unpacks into a buffer of its own, of the right length, which Column.decompress then drops
// for the one that it had handed in. There is no error, and the values are what memory held before.
// It does not know LZ4 (the older framing) at all. So the pages are unpacked here, into the memory
// behind the end of the file, and the footer is rewritten to name them there.
func withoutLZ4(f *parquet.File, r io.ReaderAt, size int64) (*parquet.File, error) {
	packed := func(c *format.ColumnChunk) bool {
		return c.MetaData.Codec == format.Lz4Raw || c.MetaData.Codec == format.Lz4
	}
	meta := *f.Metadata()
	if !slices.ContainsFunc(meta.RowGroups, func(g format.RowGroup) bool {
		return slices.ContainsFunc(g.Columns, func(c format.ColumnChunk) bool { return packed(&c) })
	}) {
		return f, nil
	}
	meta.RowGroups = slices.Clone(meta.RowGroups)
	var tail bytes.Buffer
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		g.Columns = slices.Clone(g.Columns)
		for j := range g.Columns {
			c := &g.Columns[j]
			if !packed(c) {
				continue
			}
			if err := unpack(&tail, r, size, &c.MetaData); err != nil {
				return nil, fmt.Errorf("column %q, packed with LZ4: %w", strings.Join(c.MetaData.PathInSchema, "."), err)
			}
			c.OffsetIndexOffset, c.OffsetIndexLength, c.ColumnIndexOffset, c.ColumnIndexLength = 0, 0, 0, 0
		}
	}
	footer, err := thrift.Marshal(&thrift.CompactProtocol{}, meta)
	if err != nil {
		return nil, err
	}
	tail.Write(footer)
	tail.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(footer))))
	tail.WriteString(magic)
	whole := &joined{file: r, size: size, tail: tail.Bytes()}
	return parquet.OpenFile(whole, size+int64(tail.Len()), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
}

const magic = "PAR1"

// unpack writes the pages of a column chunk to tail, which begins behind the file, and makes m
// describe them.
func unpack(tail *bytes.Buffer, r io.ReaderAt, size int64, m *format.ColumnMetaData) error {
	start := m.DataPageOffset
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < start {
		start = m.DictionaryPageOffset
	}
	if start < 0 || m.TotalCompressedSize < 0 || m.TotalCompressedSize > size-start {
		return errors.New("damaged file: the column lies outside it")
	}
	if m.TotalUncompressedSize > maxLZ4-int64(tail.Len()) {
		return fmt.Errorf("more than %d MiB unpacked: save the file with zstd: %w", maxLZ4>>20, tabular.ErrTooLarge)
	}
	chunk := make([]byte, m.TotalCompressedSize)
	if n, err := r.ReadAt(chunk, start); n < len(chunk) {
		return err
	}
	begin, data := int64(tail.Len()), int64(-1)
	for in := bytes.NewReader(chunk); in.Len() > 0; {
		var h format.PageHeader
		if err := thrift.NewDecoder((&thrift.CompactProtocol{}).NewReader(in)).Decode(&h); err != nil {
			return fmt.Errorf("damaged page header: %w", err)
		}
		at := len(chunk) - in.Len()
		if h.CompressedPageSize < 0 || h.UncompressedPageSize < 0 || int(h.CompressedPageSize) > in.Len() || int(h.UncompressedPageSize) > maxLZ4-tail.Len() {
			return errors.New("damaged page header: sizes outside the column")
		}
		page := chunk[at : at+int(h.CompressedPageSize)]
		if _, err := in.Seek(int64(len(page)), io.SeekCurrent); err != nil {
			return err
		}
		plain, err := unpackPage(page, &h, m.Codec)
		if err != nil {
			return err
		}
		if data < 0 && h.Type != format.DictionaryPage {
			data = int64(tail.Len())
		}
		h.CompressedPageSize, h.CRC = h.UncompressedPageSize, 0
		header, err := thrift.Marshal(&thrift.CompactProtocol{}, h)
		if err != nil {
			return err
		}
		tail.Write(header)
		tail.Write(plain)
	}
	if m.DictionaryPageOffset > 0 {
		m.DictionaryPageOffset = size + begin
	}
	m.Codec, m.DataPageOffset, m.IndexPageOffset, m.BloomFilterOffset = format.Uncompressed, size+max(data, begin), 0, 0
	m.TotalCompressedSize = int64(tail.Len()) - begin
	m.TotalUncompressedSize = m.TotalCompressedSize
	return nil
}

// unpackPage returns the bytes of a page, whose levels stand unpacked before the values in version
// 2.
func unpackPage(page []byte, h *format.PageHeader, codec format.CompressionCodec) ([]byte, error) {
	levels, packed := 0, true
	if v2 := h.DataPageHeaderV2; v2.Valid {
		levels = int(v2.V.RepetitionLevelsByteLength) + int(v2.V.DefinitionLevelsByteLength)
		packed = !v2.V.IsCompressed.Valid || v2.V.IsCompressed.V
		h.DataPageHeaderV2.V.IsCompressed.V, h.DataPageHeaderV2.V.IsCompressed.Valid = false, true
	}
	if levels < 0 || levels > len(page) || levels > int(h.UncompressedPageSize) {
		return nil, errors.New("damaged page header: levels outside the page")
	}
	if !packed {
		return page, nil
	}
	out := make([]byte, h.UncompressedPageSize)
	copy(out, page[:levels])
	if len(out) == levels {
		return out, nil
	}
	dst, src := out[levels:], page[levels:]
	if codec == format.Lz4 && unpackFramed(dst, src) {
		return out, nil
	}
	if n, err := lz4.UncompressBlock(src, dst); err != nil || n != len(dst) {
		return nil, fmt.Errorf("damaged page: %d of %d bytes: %w", max(n, 0), len(dst), errors.Join(err))
	}
	return out, nil
}

// unpackFramed unpacks the framing of Hadoop: blocks behind their unpacked and packed lengths. It
// reports whether the page is one of these and fills dst.
func unpackFramed(dst, src []byte) bool {
	for len(src) >= 8 {
		plain, packed := binary.BigEndian.Uint32(src), binary.BigEndian.Uint32(src[4:])
		src = src[8:]
		if uint64(plain) > uint64(len(dst)) || uint64(packed) > uint64(len(src)) {
			return false
		}
		if n, err := lz4.UncompressBlock(src[:packed], dst[:plain]); err != nil || n != int(plain) {
			return false
		}
		dst, src = dst[plain:], src[packed:]
	}
	return len(dst) == 0 && len(src) == 0
}

// joined is a file with bytes in memory behind its end.
type joined struct {
	file io.ReaderAt
	size int64
	tail []byte
}

// ReadAt implements io.ReaderAt.
func (j *joined) ReadAt(p []byte, at int64) (n int, err error) {
	if at < j.size {
		n, err = j.file.ReadAt(p[:min(int64(len(p)), j.size-at)], at)
		if n == len(p) || err != nil && !errors.Is(err, io.EOF) || at+int64(n) < j.size {
			return n, err
		}
		at = j.size
	}
	if at-j.size < int64(len(j.tail)) {
		n += copy(p[n:], j.tail[at-j.size:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
