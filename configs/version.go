package configs

import "runtime/debug"

// Version is set by the linker at release (-X skerry.dev/configs.Version=v1.2.3).
var Version = ""

// ProgramVersion returns Version, else the version of the module the program was built from, else
// "dev".
func ProgramVersion() string {
	if Version != "" {
		return Version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
