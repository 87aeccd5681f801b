package commands

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
)

// member is a field of an object.
type member struct {
	name  string
	value any
}

// object is an object whose fields keep their order.
type object []member

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// finite returns a value as encoding/json sees it, with null for numbers that are not finite; an
// object gets the field "not_finite", which lists them.
func finite(v any) any {
	var c cleaner
	out := c.clean(reflect.ValueOf(v), "")
	if o, ok := out.(object); ok && len(c.found) > 0 {
		out = append(o, member{"not_finite", c.found})
	}
	return out
}

// cleaner walks a value.
type cleaner struct{ found object }

func (c *cleaner) clean(v reflect.Value, path string) any {
	if !v.IsValid() {
		return nil
	}
	if v.CanInterface() {
		switch v.Interface().(type) {
		case json.Marshaler, encoding.TextMarshaler:
			return v.Interface()
		}
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		if x := v.Float(); math.IsNaN(x) || math.IsInf(x, 0) {
			c.found = append(c.found, member{path, fmt.Sprint(x)})
			return nil
		}
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return c.clean(v.Elem(), path)
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			break
		}
		if v.Kind() == reflect.Slice && v.IsNil() {
			return nil
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = c.clean(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
		return out
	case reflect.Map:
		if v.IsNil() {
			return nil
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		out := object{}
		for _, k := range keys {
			out = append(out, member{fmt.Sprint(k), c.clean(v.MapIndex(k), join(path, fmt.Sprint(k)))})
		}
		return out
	case reflect.Struct:
		return c.fields(v, path)
	}
	return v.Interface()
}

// fields are those of a struct, as its tags name them; those of embedded structs are its own.
func (c *cleaner) fields(v reflect.Value, path string) object {
	out := object{}
	for i := range v.NumField() {
		f, x := v.Type().Field(i), v.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" && opts == "" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Anonymous && name == "" {
			if x.Kind() == reflect.Pointer {
				x = x.Elem()
			}
			if x.IsValid() && x.Kind() == reflect.Struct {
				out = append(out, c.fields(x, path)...)
			}
			continue
		}
		if name == "" {
			name = f.Name
		}
		if strings.Contains(opts, "omitempty") && empty(x) {
			continue
		}
		out = append(out, member{name, c.clean(x, join(path, name))})
	}
	return out
}

// empty is what omitempty leaves out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map, reflect.Array, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
