// Command generate writes the JSON Schemas of the contracts.
//
//	go run ./schemas/internal/generate            writes schemas/json/v1
//	go run ./schemas/internal/generate -release   copies it to schemas/json/released/v1 as well
//
// It is run by `make generate` and `make release-schemas` in the root of the module.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"kubescribe/schemas/internal/catalog"
)

func main() {
	dir := flag.String("dir", "schemas", "the folder of package schemas")
	release := flag.Bool("release", false, "make what is generated the released version that the compatibility test compares with")
	flag.Parse()
	if err := run(*dir, *release); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(dir string, release bool) error {
	files, err := catalog.Schemas(dir)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(dir, "json", catalog.Version), files); err != nil {
		return err
	}
	if !release {
		return nil
	}
	return write(filepath.Join(dir, "json", "released", catalog.Version), files)
}

// write makes dir hold exactly files, so that the schema of a type that was removed does not stay behind.
func write(dir string, files map[string][]byte) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}
