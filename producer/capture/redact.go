package capture

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// DefaultAnnotations are patterns (path.Match, in lower case) of annotations that are left out.
func DefaultAnnotations() []string {
	return []string{
		"kubectl.kubernetes.io/last-applied-configuration", "*/last-applied*", "*/*secret*", "*/*token*", "*/*password*", "*/*credential*", "*/*key*",
		"*secret*", "*token*", "*password*", "*credential*", "*key*", "checksum/*",
	}
}

// CheckAnnotations reports every pattern that is none.
func CheckAnnotations(patterns []string) error {
	var errs []error
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			errs = append(errs, fmt.Errorf("%q is no pattern: use for example example.com/*", p))
		}
	}
	return errors.Join(errs...)
}

// containerFields are what is kept of a container in a specification. What it runs, with which environment and which probes, is
// nobody's business, and the place where passwords are.
var containerFields = map[string]bool{
	"name": true, "image": true, "imagePullPolicy": true, "resources": true, "ports": true, "restartPolicy": true, "terminationMessagePolicy": true,
}

// dropped are fields that are left out wherever they are.
var dropped = map[string]bool{"managedFields": true, "volumes": true, "volumeClaimTemplates": true}

// Redact leaves out of an object, which it changes, what must not leave the cluster.
func Redact(object map[string]any, annotations []string) {
	for key, value := range object {
		switch v := value.(type) {
		case map[string]any:
			if dropped[key] {
				delete(object, key)
				continue
			}
			if key == "annotations" {
				redactAnnotations(v, annotations)
				continue
			}
			Redact(v, annotations)
		case []any:
			if dropped[key] {
				delete(object, key)
				continue
			}
			for _, item := range v {
				m, ok := item.(map[string]any)
				if !ok {
					continue
				}
				if key == "containers" || key == "initContainers" || key == "ephemeralContainers" {
					for field := range m {
						if !containerFields[field] {
							delete(m, field)
						}
					}
				}
				Redact(m, annotations)
			}
		}
	}
	if object["kind"] == "Node" {
		if status, ok := object["status"].(map[string]any); ok {
			delete(status, "images") // long, and of no use
		}
	}
}

func redactAnnotations(m map[string]any, patterns []string) {
	for name := range m {
		for _, p := range patterns {
			if ok, err := path.Match(p, strings.ToLower(name)); ok && err == nil {
				delete(m, name)
				break
			}
		}
	}
}
