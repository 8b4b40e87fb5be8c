package stack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const (
	oldestJava = 17
	installJDK = "apt-get install openjdk-17-jdk-headless"
)

// A jvm is the Java that was found: $JAVA_HOME's, else the one on PATH.
type jvm struct {
	path    string
	version int    // 17
	build   string // all that it tells about itself
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

func findJava() (jvm, error) {
	path, err := findInJDK("java")
	if err != nil {
		return jvm{}, fmt.Errorf("Java is missing (%w): %s", err, installJDK)
	}
	out, err := exec.Command(path, "-version").CombinedOutput()
	if err != nil {
		return jvm{}, fmt.Errorf("asking %s for its version: %w: %s", path, err, out)
	}
	m := javaVersion.FindSubmatch(out)
	if m == nil {
		return jvm{}, fmt.Errorf("asking %s for its version: cannot read %q", path, out)
	}
	version, err := strconv.Atoi(string(m[1]))
	if err != nil || version < oldestJava {
		return jvm{}, fmt.Errorf("Java %d or newer is missing (%s is %s; set JAVA_HOME to choose another): %s", oldestJava, path, m[1], installJDK)
	}
	return jvm{path: path, version: version, build: string(out)}, nil
}

func findInJDK(tool string) (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		return exec.LookPath(filepath.Join(home, "bin", tool))
	}
	return exec.LookPath(tool)
}

// classArchive is a file of the classes that a server loads, already parsed: with it a JVM starts in about half the time. The JVM
// that exits writes it, and it fits that build and class path only; one that does not fit is ignored.
const classArchive = "classes.jsa"

// writeArchive makes a JVM write its class archive into dir when it exits.
func writeArchive(dir string) []string {
	return []string{"-XX:ArchiveClassesAtExit=" + filepath.Join(dir, classArchive), "-Xlog:cds=off", "-Xlog:cds+dynamic=off"}
}

// useArchive makes a JVM use the class archive in dir, if there is one.
func useArchive(dir string) []string {
	path := filepath.Join(dir, classArchive)
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	return []string{"-XX:SharedArchiveFile=" + path, "-Xlog:cds=off", "-Xlog:cds+dynamic=off"}
}

// finishTraining stops a server that was started to write its class archive, which takes a while, and keeps from its folder run
// only the files named, in tmp.
func finishTraining(p *process, tmp, run string, keep ...string) error {
	if err := p.stop(2 * time.Minute); err != nil {
		return err
	}
	for _, name := range keep {
		err := os.Rename(filepath.Join(run, name), filepath.Join(tmp, filepath.Base(name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keeping %s: %w", name, err)
		}
	}
	if err := os.RemoveAll(run); err != nil {
		return fmt.Errorf("clearing %s: %w", run, err)
	}
	return nil
}

// fetchJars lets Maven copy what the POM depends on into dir.
func fetchJars(ctx context.Context, what string, pom []byte, dir string) error {
	defer reportStep("fetching the jars of %s", what)()
	pomPath := filepath.Join(dir, "pom.xml")
	if err := writeFile(pomPath, pom, 0o644); err != nil {
		return err
	}
	return runTool(ctx, dir, nil, "mvn", "-B", "-q", "-ntp", "-f", pomPath,
		"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(dir, "lib"))
}
