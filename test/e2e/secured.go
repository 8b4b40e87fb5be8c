package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubescribe/test/stack"
)

var secured = Case{
	Name:  "secured",
	About: "over SASL_SSL with the least ACLs everything works; without any one of them one error names it, and nothing is lost",
	Run:   runSecured,
}

// acl is a line of `kubescribe topics acls -o json`.
type acl struct {
	Service, Principal, Resource, Name string
	Prefixed                           bool
	Operations                         []string
}

// mechanisms are how each service proves who it is.
var mechanisms = map[string]string{"producer": "scram-sha-512", "enricher": "scram-sha-256", "indexer": "plain", "alerter": "scram-sha-512"}

type securedRun struct {
	*Env
	kafka    *stack.KafkaSecurity
	hook     *receiver
	acls     []acl
	pod      *corev1.Pod
	services map[string]*process
	cases    int
	wrong    []string
}

func runSecured(ctx context.Context, env *Env) (Figures, error) {
	s := &securedRun{Env: env, kafka: &stack.KafkaSecurity{Plain: map[string]string{}}, services: map[string]*process{}}
	for service := range mechanisms {
		if mechanisms[service] == "plain" {
			s.kafka.Plain["kubescribe-"+service] = secretOf(service)
		}
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	for _, part := range []func(context.Context) error{s.allowed, s.revoked, s.missing, s.refused} {
		if err := part(ctx); err != nil {
			return s.figures(), err
		}
	}
	if len(s.wrong) > 0 {
		return s.figures(), errors.New(strings.Join(s.wrong, "\n"))
	}
	return s.figures(), nil
}

func (s *securedRun) figures() Figures { return Figures{{"cases", s.cases}, {"wrong", len(s.wrong)}} }

// judge counts a case, and notes what was wrong with it.
func (s *securedRun) judge(name string, wrong error) {
	s.cases++
	if wrong != nil {
		s.wrong = append(s.wrong, name+": "+wrong.Error())
		s.logf("wrong: %s: %v", name, wrong)
	}
}

func secretOf(service string) string { return "e2e-" + service + "-secret" }

// start brings up the stack, the topics, the users and the least ACLs.
func (s *securedRun) start(ctx context.Context) (err error) {
	if err := s.startStack(ctx, stack.WithKafkaSecurity(s.kafka)); err != nil {
		return err
	}
	if s.hook, err = newReceiver(); err != nil {
		return err
	}
	s.onClose(s.hook.close)
	if err := s.configure(s.hook.URL, spineRules); err != nil {
		return err
	}
	if err := errors.Join(s.command(ctx, "topics", "apply"), s.command(ctx, "indexer", "setup")); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, s.binary, "topics", "acls", "-o", "json", "--config", s.configFile).Output()
	if err != nil {
		return fmt.Errorf("asking for the least ACLs: %w", err)
	}
	var list struct{ ACLs []acl }
	if err := json.Unmarshal(out, &list); err != nil {
		return fmt.Errorf("decoding the least ACLs: %w", err)
	}
	s.acls = slices.DeleteFunc(list.ACLs, func(a acl) bool { return mechanisms[a.Service] == "" })
	for service, mechanism := range mechanisms {
		if err := s.user(ctx, service, mechanism); err != nil {
			return err
		}
	}
	for _, a := range s.acls {
		if err := s.grant(ctx, a); err != nil {
			return err
		}
	}
	return s.secureConfig()
}

func (s *securedRun) user(ctx context.Context, service, mechanism string) error {
	if err := os.WriteFile(s.path(service+".password"), []byte(secretOf(service)+"\n"), 0o600); err != nil {
		return err
	}
	hash := map[string]kadm.ScramMechanism{"scram-sha-256": kadm.ScramSha256, "scram-sha-512": kadm.ScramSha512}[mechanism]
	if hash == 0 {
		return nil
	}
	_, err := s.broker.admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{
		User: "kubescribe-" + service, Mechanism: hash, Iterations: 4096, Password: secretOf(service),
	}})
	return err
}

// secureConfig points the configuration at the secure listener.
func (s *securedRun) secureConfig() error {
	content, err := os.ReadFile(s.configFile)
	if err != nil {
		return err
	}
	plain := fmt.Appendf(nil, "kafka: {brokers: [%q]}", s.Env.kafka.Bootstrap)
	if !bytes.Contains(content, plain) {
		return errors.New("the configuration has no line that names the broker")
	}
	secure := fmt.Appendf(nil, "kafka: {brokers: [%q], tls: {enabled: true, ca_file: %q}}", s.kafka.Bootstrap, s.kafka.CAFile)
	return os.WriteFile(s.configFile, bytes.Replace(content, plain, secure, 1), 0o600)
}

func (s *securedRun) builder(a acl) *kadm.ACLBuilder {
	pattern := kadm.ACLPatternLiteral
	if a.Prefixed {
		pattern = kadm.ACLPatternPrefixed
	}
	b := kadm.NewACLs().Allow(a.Principal).AllowHosts("*").ResourcePatternType(pattern)
	switch a.Resource {
	case "topic":
		b.Topics(a.Name)
	case "group":
		b.Groups(a.Name)
	case "transactional-id":
		b.TransactionalIDs(a.Name)
	}
	var ops []kadm.ACLOperation
	for _, op := range a.Operations {
		ops = append(ops, map[string]kadm.ACLOperation{"Read": kadm.OpRead, "Write": kadm.OpWrite}[op])
	}
	return b.Operations(ops...)
}

func (s *securedRun) grant(ctx context.Context, a acl) error {
	results, err := s.broker.admin.CreateACLs(ctx, s.builder(a))
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	return err
}

func (s *securedRun) revoke(ctx context.Context, a acl) error {
	results, err := s.broker.admin.DeleteACLs(ctx, s.builder(a))
	deleted := 0
	for _, r := range results {
		err = errors.Join(err, r.Err)
		deleted += len(r.Deleted)
	}
	if err == nil && deleted != 1 {
		err = fmt.Errorf("revoking %v deleted %d ACLs instead of one", a, deleted)
	}
	return err
}

// process prepares a service that comes as its own user.
func (s *securedRun) process(service string) (*process, error) {
	p, err := s.service(service)
	if err != nil {
		return nil, err
	}
	p.env = append(p.env, "KUBESCRIBE_KAFKA_SASL_MECHANISM="+mechanisms[service], "KUBESCRIBE_KAFKA_SASL_USERNAME=kubescribe-"+service,
		"KUBESCRIBE_KAFKA_SASL_PASSWORD_FILE="+s.path(service+".password"))
	return p, nil
}

// allowed: with the least ACLs an event goes its whole way.
func (s *securedRun) allowed(ctx context.Context) error {
	var g errgroup.Group
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for service := range mechanisms {
		p, err := s.process(service)
		if err != nil {
			return err
		}
		if err := p.start(); err != nil {
			return err
		}
		s.services[service] = p
		g.Go(func() error { return p.waitReady(wait) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	var err error
	if s.pod, err = (&spineRun{Env: s.Env}).crash(ctx); err != nil {
		return err
	}
	s.judge("allowed: an event goes from the API server to a page", s.until(ctx, time.Minute, func() error {
		if pages, repeats := s.hook.count(); pages != 1 || repeats != 0 {
			return fmt.Errorf("pages=%d repeats=%d", pages, repeats)
		}
		return nil
	}))
	s.judge("allowed: documents are found", s.until(ctx, 30*time.Second, func() error {
		n, err := s.documents(ctx)
		if err == nil && n == 0 {
			err = errors.New("none is there")
		}
		return err
	}))
	return nil
}

func (s *securedRun) documents(ctx context.Context) (n int, err error) {
	err = s.elastic.each(ctx, `{"match_all":{}}`, "false", func(hit) { n++ })
	return n, err
}

// until asks check until it is content or the time is up, and returns what it said last.
func (s *securedRun) until(ctx context.Context, limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// revoked: a permission that goes away while a service runs makes it wait, say so, and go on when it is back. Nothing is lost, and
// nothing goes to the dead letter.
func (s *securedRun) revoked(ctx context.Context) error {
	for _, service := range []string{"indexer", "enricher"} {
		at := slices.IndexFunc(s.acls, func(a acl) bool {
			return a.Service == service && a.Resource == "topic" && strings.Contains(a.Name, "enriched")
		})
		before, err := s.documents(ctx)
		if err != nil {
			return err
		}
		if err := s.revoke(ctx, s.acls[at]); err != nil {
			return err
		}
		if err := s.writeEvents(ctx, service, 20); err != nil {
			return err
		}
		s.judge("revoked: the "+service+" says what it is not allowed any more", s.until(ctx, 45*time.Second, func() error { return s.complains(service) }))
		if err := s.grant(ctx, s.acls[at]); err != nil {
			return err
		}
		s.judge("revoked: what came meanwhile is there when the "+service+" may again", s.until(ctx, time.Minute, func() error {
			p := s.services[service]
			select {
			case err := <-p.exited: // a Deployment would start it again
				s.logf("the %s ended and is started again: %v", service, err)
				if err := p.start(); err != nil {
					return err
				}
			default:
			}
			n, err := s.documents(ctx)
			if err == nil && n < before+20 {
				err = fmt.Errorf("%d documents, want %d", n, before+20)
			}
			return err
		}))
	}
	s.judge("revoked: nothing went to the dead letter", func() error {
		ends, err := s.broker.ends(ctx, "kubescribe.deadletter", "kubescribe.deadletter."+cluster)
		if err != nil {
			return err
		}
		var wrong error
		ends.Each(func(o kadm.ListedOffset) {
			if o.Offset != 0 {
				wrong = fmt.Errorf("%s has %d records", o.Topic, o.Offset)
			}
		})
		return wrong
	}())
	for _, p := range s.services {
		if err := p.stop(); err != nil {
			return err
		}
	}
	return nil
}

// complains is nil when the service is not ready and names the ACL, or ended with words that do.
func (s *securedRun) complains(service string) error {
	p := s.services[service]
	resp, err := http.Get(p.ready)
	if err != nil {
		return saysACL(tail(p.logs))
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode == http.StatusOK {
		return fmt.Errorf("it says that it is ready; %s", tail(p.logs))
	}
	return saysACL(body.String())
}

func saysACL(text string) error {
	if !strings.Contains(text, "ACL") || !strings.Contains(text, "kubescribe.enriched") {
		return fmt.Errorf("no word of the ACL or the topic in %q", text)
	}
	return nil
}

func (s *securedRun) writeEvents(ctx context.Context, name string, n int) error {
	l := &load{client: s.client, pod: s.pod}
	for i := range n {
		e := l.event(i)
		e.Name = fmt.Sprintf("secured-%s.%d", name, i)
		if _, err := s.client.CoreV1().Events(s.pod.Namespace).Create(ctx, e, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// missing: at its start a service says which ACL it lacks, in one error, and ends.
func (s *securedRun) missing(ctx context.Context) error {
	for _, a := range s.acls {
		for _, op := range a.Operations {
			one := a
			one.Operations = []string{op}
			if err := s.revoke(ctx, one); err != nil {
				return err
			}
			resource := a.Resource + " " + a.Name
			s.judge(fmt.Sprintf("missing: %s without %s on %s", a.Service, op, resource),
				s.refuses(ctx, a.Service, nil, "an ACL is missing: "+a.Principal+" needs", op, resource))
			if err := s.grant(ctx, one); err != nil {
				return err
			}
		}
	}
	return nil
}

// refused: wrong credentials and wrong certificates are named by the key that is wrong.
func (s *securedRun) refused(ctx context.Context) error {
	if err := os.WriteFile(s.path("wrong"), []byte("wrong"), 0o600); err != nil {
		return err
	}
	for service, key := range map[string]string{"enricher": "kafka.sasl", "indexer": "kafka.sasl"} {
		s.judge("refused: a wrong password of the "+service, s.refuses(ctx, service, []string{"KUBESCRIBE_KAFKA_SASL_PASSWORD_FILE=" + s.path("wrong")}, key))
	}
	s.judge("refused: a broker whose certificate nobody trusts", s.refuses(ctx, "producer", []string{"KUBESCRIBE_KAFKA_TLS_CA_FILE="}, "kafka.tls"))
	s.judge("refused: plaintext to a TLS port",
		s.refuses(ctx, "producer", []string{"KUBESCRIBE_KAFKA_TLS_ENABLED=false", "KUBESCRIBE_KAFKA_TLS_CA_FILE="}, "kafka.tls"))
	return nil
}

// refuses is nil when the service ends soon, with an error, and its last words contain all of these.
func (s *securedRun) refuses(ctx context.Context, service string, env []string, words ...string) error {
	p, err := s.process(service)
	if err != nil {
		return err
	}
	p.env = append(p.env, env...)
	p.logs = s.path(fmt.Sprintf("%s-%d.log", service, s.cases))
	if err := p.start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	select {
	case err = <-p.exited:
	case <-ctx.Done():
		_ = p.kill()
		return fmt.Errorf("it goes on; %s", tail(p.logs))
	}
	said := tail(p.logs)
	if err == nil {
		return fmt.Errorf("it ended without an error; %s", said)
	}
	for _, word := range words {
		if !strings.Contains(said, word) {
			return fmt.Errorf("no %q in %s", word, said)
		}
	}
	return nil
}
