package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kubescribe/rules"
)

// shippedRules writes the rules that ship into dir and returns it. What an earlier version left there is removed: the folder is
// ours.
func shippedRules(dir string) (string, error) {
	if err := os.RemoveAll(dir); err != nil {
		return "", fmt.Errorf("writing the shipped rules: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("writing the shipped rules: %w", err)
	}
	names, err := fs.Glob(rules.FS, "*.yaml")
	if err != nil {
		return "", fmt.Errorf("finding the shipped rules: %w", err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(rules.FS, name)
		if err != nil {
			return "", fmt.Errorf("reading the shipped rules: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", fmt.Errorf("writing the shipped rules: %w", err)
		}
	}
	return dir, nil
}
