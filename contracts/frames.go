package contracts

import "strings"

// Frames lists the contracts of frames that are published, as a browser names them in a command or
// when it connects: METRIC_UPDATE/1. The order is that of the schemas' paths.
func Frames() []string {
	var names []string
	for _, k := range Kinds() {
		if path, ok := strings.CutPrefix(string(k), "frames/"); ok {
			name, major, _ := strings.Cut(path, "/v")
			names = append(names, strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+"/"+major)
		}
	}
	return names
}
