package bench

import (
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Machine says where and with what a report was made.
type Machine struct {
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Kernel  string `json:"kernel"`
	OS      string `json:"os"`
	Go      string `json:"go"`
	Commit  string `json:"commit"`
	Load    string `json:"load"` // of the last minute, when the measurement began
	Command string `json:"command"`
}

// ThisMachine looks at the machine and the program that asks.
func ThisMachine() Machine {
	m := Machine{
		CPU: "unknown", Cores: cores(), Kernel: firstLine("/proc/sys/kernel/osrelease"),
		OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), Commit: commit(),
		Command: strings.Join(os.Args, " "),
	}
	m.Load, _, _ = strings.Cut(firstLine("/proc/loadavg"), " ")
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// cores is how many this process may run on.
func cores() int {
	if list, err := CoresOf(os.Getpid()); err == nil {
		return len(list)
	}
	return runtime.NumCPU()
}

// write says it in lines of two columns, with when a run began.
func (m Machine) write(line func(format string, args ...any), began time.Time) {
	for _, f := range [][2]string{
		{"cpu", m.CPU + ", " + inCores(m.Cores)},
		{"kernel", m.Kernel + ", " + m.OS},
		{"go", m.Go},
		{"commit", m.Commit},
		{"began", began.Format(time.RFC3339)},
		{"load before", m.Load},
		{"command", m.Command},
	} {
		line("%s\t%s", f[0], f[1])
	}
}

func firstLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// commit is what this program was built from, as the Go command noted it; or else
// what git says of the working directory.
func commit() string {
	id, changed := "", ""
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			id = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = ", with changes"
		}
	}
	if id != "" {
		return id + changed
	}
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=12").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out)) + ", by git"
}
