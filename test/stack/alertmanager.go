package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// AlertmanagerVersion is the version of the Alertmanager; alertmanager/tools/go.mod pins it, and a test compares them.
const AlertmanagerVersion = "v0.34.2"

const alertmanagerModule = "github.com/prometheus/alertmanager"

// Alertmanager is one real Alertmanager on a loopback port, alone and without its page for people. Its methods may not be called at
// the same time.
type Alertmanager struct {
	URL string // http://127.0.0.1:port
	Dir string // absolute; data, alertmanager.yml, log/alertmanager.log and alertmanager.pid

	server process
}

// StartAlertmanager starts an Alertmanager with this configuration (its YAML) on dir, which is created if need be, and returns when it is
// ready. A start on the dir of an earlier one goes on with its data on its port. The caller stops it.
func StartAlertmanager(ctx context.Context, dir, config string) (*Alertmanager, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	a := &Alertmanager{Dir: abs, server: process{name: "alertmanager", dir: abs}}
	if err := Prepare(ctx, PartAlertmanager); err != nil {
		return nil, err
	}
	err = exclusively(ctx, abs, func() error {
		if err := a.server.requireStopped(); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(abs, "alertmanager.yml"), []byte(config), 0o644); err != nil {
			return err
		}
		return settle(abs, []string{"web"}, func(ports map[string]int) error { return a.start(ctx, ports["web"]) })
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Alertmanager) start(ctx context.Context, port int) error {
	bin, err := alertmanagerBinary().dir()
	if err != nil {
		return err
	}
	a.URL = "http://" + loopback(port)
	a.server.argv = []string{
		filepath.Join(bin, "alertmanager"), "--config.file=" + filepath.Join(a.Dir, "alertmanager.yml"), "--storage.path=" + filepath.Join(a.Dir, "data"),
		"--web.listen-address=" + loopback(port), "--cluster.listen-address=",
	}
	if err := a.server.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return a.server.await(ctx, a.ready)
}

func (a *Alertmanager) ready(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/-/ready", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}

// Kill sends SIGKILL and waits until it is gone.
func (a *Alertmanager) Kill() error { return a.server.kill() }

// Stop ends it cleanly; after 10 seconds it kills it.
func (a *Alertmanager) Stop() error { return a.server.stop(10 * time.Second) }

// Log returns the last n lines of its log.
func (a *Alertmanager) Log(n int) string { return a.server.tail(n) }

func alertmanagerBinary() artifact {
	return artifact{name: "alertmanager-" + AlertmanagerVersion, key: "alertmanager " + AlertmanagerVersion, make: buildAlertmanager}
}

// buildAlertmanager builds the module's own program, as the module that it is: with the dependencies that its go.sum names. Its page
// is made by Node.js and not part of the module, so an empty one takes its place.
func buildAlertmanager(ctx context.Context, dir string) error {
	defer reportStep("building Alertmanager %s (minutes when nothing is compiled yet)", AlertmanagerVersion)()
	tools, err := moduleFolder(ctx, "alertmanager", "tools")
	if err != nil {
		return err
	}
	env := []string{"CGO_ENABLED=0", "GOFLAGS=-mod=readonly -trimpath -buildvcs=false", "GOWORK=off"}
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", alertmanagerModule)
	download.Dir, download.Env = tools, append(os.Environ(), env...)
	out, err := download.Output()
	if err != nil {
		return fmt.Errorf("fetching %s: %w\n%s", alertmanagerModule, err, out)
	}
	var module struct{ Dir, Version string }
	if err := json.Unmarshal(out, &module); err != nil {
		return fmt.Errorf("decoding what go mod download says: %w", err)
	}
	if module.Version != AlertmanagerVersion {
		return fmt.Errorf("alertmanager/tools/go.mod pins %s, not %s", module.Version, AlertmanagerVersion)
	}
	source := filepath.Join(dir, "src")
	if err := os.CopyFS(source, os.DirFS(module.Dir)); err != nil {
		return fmt.Errorf("copying %s: %w", alertmanagerModule, err)
	}
	if err := writeFile(filepath.Join(source, "ui", "app", "dist", "index.html"), []byte("<!doctype html>\n"), 0o644); err != nil {
		return err
	}
	if err := runTool(ctx, source, env, "go", "build", "-ldflags", "-s -w", "-o", filepath.Join(dir, "alertmanager"), "./cmd/alertmanager"); err != nil {
		return fmt.Errorf("building Alertmanager: %w", err)
	}
	return os.RemoveAll(source)
}

// moduleFolder is a folder of this package in the checkout that the working directory is in.
func moduleFolder(ctx context.Context, parts ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "kubescribe").Output()
	if err != nil {
		return "", fmt.Errorf("finding kubescribe's module (it is built from within a checkout): %w", err)
	}
	dir := filepath.Join(append([]string{string(out[:max(len(out)-1, 0)]), "test", "stack"}, parts...)...)
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		return "", errors.Join(errors.New("finding the module that pins what is built"), err)
	}
	return dir, nil
}
