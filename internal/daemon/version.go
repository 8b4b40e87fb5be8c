package daemon

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// release is set by the linker for a released build: -ldflags "-X kubescribe/internal/daemon.release=v1.2.3".
var release string

// Version is what is known of this build.
type Version struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	Modified bool   `json:"modified"` // the work tree differed from the revision
	Time     string `json:"time,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// ReadVersion reads what the linker and the go command wrote into the binary.
func ReadVersion() Version {
	v := Version{Version: release, Revision: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.time":
				v.Time = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if v.Version == "" {
		v.Version = "devel"
	}
	return v
}

// String is one line for people.
func (v Version) String() string {
	modified := ""
	if v.Modified {
		modified = ", modified"
	}
	return fmt.Sprintf("kubescribe %s (revision %s%s, %s, %s)", v.Version, v.Revision, modified, v.Go, v.Platform)
}
