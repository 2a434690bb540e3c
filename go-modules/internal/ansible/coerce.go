package ansible

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Raw values are what encoding/json makes of the argument file: string, bool,
// json.Number, []any, map[string]any. The errors here continue a sentence that
// begins with the option and its value.

var (
	errString = errors.New("is not a string")
	errInt    = errors.New("is not a whole number")
	errBool   = errors.New("is not a boolean; give yes or no")
	errSize   = errors.New("is not a size; give bytes or a number with a unit such as 512K, 10M, 1.5G, 64KiB")
	errBig    = errors.New("is too big a size")
	errList   = errors.New("is not a list; give a list or text with commas such as a,b")
	errMode   = errors.New("is not a mode; give octal digits such as '0644', a symbolic mode such as u=rw,g=r, or preserve")
)

// coerceString makes text as Ansible's check_type_str does; booleans become
// Python's True and False. Lists and dictionaries are refused, where Ansible
// would hand on their Python representation.
func coerceString(raw any) (string, error) {
	switch v := raw.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		if v {
			return "True", nil
		}
		return "False", nil
	}
	return "", errString
}

// coerceBool follows Ansible's BOOLEANS_TRUE and BOOLEANS_FALSE.
func coerceBool(raw any) (bool, error) {
	switch v := raw.(type) {
	case bool:
		return v, nil
	case json.Number:
		if f, err := v.Float64(); err == nil && (f == 0 || f == 1) {
			return f == 1, nil
		}
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "y", "yes", "on", "1", "true", "t":
			return true, nil
		case "n", "no", "off", "0", "false", "f":
			return false, nil
		}
	}
	return false, errBool
}

// decimal is what Python's decimal.Decimal takes for a finite number.
var decimal = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// coerceInt accepts whole numbers in any notation: 5, "5", "5.0", "1e3".
func coerceInt(raw any) (int, error) {
	var text string
	switch v := raw.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	}
	if n, err := strconv.Atoi(text); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	const exact = 1 << 53 // beyond it a float64 no longer holds every whole number
	if err != nil || !decimal.MatchString(text) || f != math.Trunc(f) || math.Abs(f) > exact {
		return 0, errInt
	}
	return int(f), nil
}

// size is the pattern of Ansible's human_to_bytes.
var size = regexp.MustCompile(`^([0-9]*\.?[0-9]+)(?:\s*([A-Za-z]+))?\s*$`)

var unitWords = map[byte]string{
	'B': "byte", 'K': "kilobyte", 'M': "megabyte", 'G': "gigabyte",
	'T': "terabyte", 'P': "petabyte", 'E': "exabyte",
}

// coerceSize is Ansible's human_to_bytes, and accepts KiB, MiB, GiB as well.
// Small letters with b mean bits there (Kb) and are refused.
func coerceSize(raw any) (int64, error) {
	text, err := coerceString(raw)
	if _, isBool := raw.(bool); err != nil || isBool {
		return 0, errSize
	}
	match := size.FindStringSubmatch(text)
	if match == nil {
		return 0, errSize
	}
	shift, ok := unitShift(match[2])
	if !ok {
		return 0, errSize
	}
	if n, err := strconv.ParseInt(match[1], 10, 64); err == nil && n <= math.MaxInt64>>shift {
		return n << shift, nil
	}
	f, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		return 0, errBig
	}
	f = math.RoundToEven(f * float64(int64(1)<<shift))
	if f >= math.MaxInt64 {
		return 0, errBig
	}
	return int64(f), nil
}

// unitShift gives the power of two of a unit: 0 for none or B, 10 for K, ...
func unitShift(unit string) (int, bool) {
	if unit == "" {
		return 0, true
	}
	letter := strings.ToUpper(unit[:1])
	power := strings.Index("BKMGTPE", letter)
	if power < 0 {
		return 0, false
	}
	known := len(unit) == 1 || strings.EqualFold(unit, unitWords[letter[0]]) ||
		power > 0 && (unit == letter+"B" || unit[1:] == "iB")
	return 10 * power, known
}

// coerceList splits text at commas as Ansible does, and drops the blanks around
// elements and the empty list's single empty element, which Ansible keeps.
func coerceList(raw any) ([]string, error) {
	switch v := raw.(type) {
	case []any:
		list := make([]string, 0, len(v))
		for i, element := range v {
			text, err := coerceString(element)
			if err != nil {
				return nil, fmt.Errorf("has an element (number %d) that is not a string", i+1)
			}
			list = append(list, text)
		}
		return list, nil
	case json.Number:
		return []string{v.String()}, nil
	case string:
		if strings.TrimSpace(v) == "" {
			return []string{}, nil
		}
		list := strings.Split(v, ",")
		for i := range list {
			list[i] = strings.TrimSpace(list[i])
		}
		return list, nil
	}
	return nil, errList
}

// symbolic is one clause of a symbolic mode, as chmod and Ansible take it.
var symbolic = regexp.MustCompile(`^[ugoa]*([-+=]([rwxXst]*|[ugo]))+$`)

// coerceMode reads text as octal and a number as the value it is, since YAML
// turns an unquoted 0644 into 420.
func coerceMode(raw any) (string, error) {
	var bits uint64
	var err error
	switch v := raw.(type) {
	case json.Number:
		bits, err = strconv.ParseUint(v.String(), 10, 32)
	case string:
		text := strings.TrimSpace(v)
		if text == "preserve" || isSymbolic(text) {
			return text, nil
		}
		bits, err = strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	default:
		return "", errMode
	}
	if err != nil || bits > 0o7777 {
		return "", errMode
	}
	return fmt.Sprintf("%04o", bits), nil
}

func isSymbolic(text string) bool {
	for clause := range strings.SplitSeq(text, ",") {
		if !symbolic.MatchString(clause) {
			return false
		}
	}
	return true
}
