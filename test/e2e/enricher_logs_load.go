package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kubescribe/schemas"
)

// logRequest is one request for a log that passed the proxy.
type logRequest struct {
	at            time.Time
	workload, pod string
}

// logProxy stands between one enricher and the API server, and counts the requests for logs. It acts as the enricher's service account.
type logProxy struct {
	name       string
	kubeconfig string // of a client that goes through it

	mu       sync.Mutex
	requests []logRequest
	inFlight int
	most     int // requests for logs at once
}

var logPath = regexp.MustCompile(`^/api/v1/namespaces/storm/pods/(([a-z]+)-[a-z0-9-]+)/log$`)

// startProxy starts a proxy, which ends with the case.
func (e *enriching) startProxy(name string) (*logProxy, error) {
	p := &logProxy{name: name, kubeconfig: e.path(name + ".proxy.kubeconfig")}
	rc := rest.CopyConfig(e.rest)
	rc.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:kubescribe:kubescribe-enricher"}
	transport, err := rest.TransportFor(rc)
	if err != nil {
		return nil, err
	}
	to, err := url.Parse(e.kube.Server)
	if err != nil {
		return nil, err
	}
	forward := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: transport, FlushInterval: -1, // a watch is passed on as it comes
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, forward) }))
	e.onClose(func() { server.CloseClientConnections(); server.Close() })
	config := clientcmdapi.NewConfig()
	config.Clusters["proxy"] = &clientcmdapi.Cluster{Server: server.URL}
	config.Contexts["proxy"] = &clientcmdapi.Context{Cluster: "proxy"}
	config.CurrentContext = "proxy"
	return p, clientcmd.WriteToFile(*config, p.kubeconfig)
}

const excuse = "unable to retrieve container logs for containerd://0123456789abcdef"

func (p *logProxy) serve(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	m := logPath.FindStringSubmatch(r.URL.Path)
	if m == nil {
		forward.ServeHTTP(w, r)
		return
	}
	q := logRequest{at: time.Now(), pod: m[1], workload: m[2]}
	p.mu.Lock()
	p.requests = append(p.requests, q)
	p.inFlight++
	p.most = max(p.most, p.inFlight)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.inFlight--
		p.mu.Unlock()
	}()
	switch q.workload {
	case stuckWorkload:
		<-r.Context().Done() // until the enricher gives up
	case excusedWorkload:
		fmt.Fprint(w, excuse)
	default:
		forward.ServeHTTP(w, r)
	}
}

func (p *logProxy) seen() (requests []logRequest, most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]logRequest(nil), p.requests...), p.most
}

// podLoad writes Events about pods in turn, as fast as the API server takes them but no more than 50 a second.
type podLoad struct {
	client kubernetes.Interface
	pods   []corev1.Pod
	done   []written
	err    error
}

func (l *podLoad) run(ctx context.Context) {
	events := l.client.CoreV1().Events("storm")
	for n := 0; pause(ctx, 20*time.Millisecond) == nil; n++ {
		pod := &l.pods[n%len(l.pods)]
		now := metav1.Now()
		e, err := events.Create(ctx, &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Name: fmt.Sprintf("load.%06d", n), Namespace: "storm"},
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: "storm", Name: pod.Name, UID: pod.UID, FieldPath: "spec.containers{main}"},
			Type:           corev1.EventTypeNormal, Reason: "Load", Message: "an Event in the storm", Count: 1, FirstTimestamp: now, LastTimestamp: now,
			Source: corev1.EventSource{Component: "e2e", Host: pod.Spec.NodeName},
		}, metav1.CreateOptions{})
		if err != nil {
			if ctx.Err() == nil {
				l.err = fmt.Errorf("writing an Event: %w", err)
			}
			return
		}
		l.done = append(l.done, written{uid: string(e.UID), rv: e.ResourceVersion, at: time.Now()})
	}
}

// followEnriched notes the records of enriched.<c> from now on, until the case ends.
func (e *enriching) followEnriched(ctx context.Context) (*arrivals, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(e.broker.bootstrap), kgo.ConsumeTopics(e.topics.Enriched(cluster)), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	if err != nil {
		return nil, err
	}
	a := &arrivals{seen: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			fetches := cl.PollFetches(ctx)
			now := time.Now()
			a.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) {
				for _, h := range r.Headers {
					if _, known := a.seen[string(h.Value)]; h.Key == schemas.HeaderID && !known {
						a.seen[string(h.Value)] = now
					}
				}
			})
			a.mu.Unlock()
		}
	}()
	e.onClose(func() { cancel(); <-ended; cl.Close() })
	return a, nil
}

// plantedSecrets are in the containers' logs, and may be in no topic. plantedLines are the lines that hold them, each with a word that must arrive.
var plantedSecrets = []string{
	"S3cretPassw0rd", "S3cretInUrl", "S3cretBearer0123456789", "AKIA" + "S3CRETS3CRETS3CR", "eyJTM2NyZXQiOiJ4In0", "S3cretJson", "S3cretYaml",
	"MIIS3cretKeyLine1AAAAAAAAAAAAAAAA", "MIIS3cretKeyLine2BBBBBBBBBBBBBBBB", "cust-4242", "S3cretFlag", "S3cretCookie", "S3cretTail",
}

var plantedLines = []string{
	"login kept-logfmt user=bob password=S3cretPassw0rd",
	"kept-url postgres://app:S3cretInUrl@db:5432/shop refused",
	"kept-bearer GET /x Authorization: Bearer S3cretBearer0123456789",
	"kept-aws using AKIA" + "S3CRETS3CRETS3CR",
	"kept-jwt eyJTM2NyZXQiOiJ4In0.eyJTM2NyZXQiOiJ4In0.c2ln",
	`{"kept":"kept-json","apiKey":"S3cretJson"}`,
	"kept-yaml", "  client_secret: S3cretYaml",
	"-----BEGIN RSA PRIVATE KEY-----", "MIIS3cretKeyLine1AAAAAAAAAAAAAAAA", "MIIS3cretKeyLine2BBBBBBBBBBBBBBBB", "-----END RSA PRIVATE KEY-----",
	"kept-custom customer cust-4242", "kept-flag run --db-password S3cretFlag", "kept-cookie Set-Cookie: sid=S3cretCookie; Path=/",
	"panic: kept-panic token=\"S3cretTail\"",
}

// keptWords are the words of plantedLines that must arrive.
func keptWords() []string {
	var words []string
	for _, l := range plantedLines {
		if i := strings.Index(l, "kept-"); i >= 0 {
			words = append(words, strings.FieldsFunc(l[i:], func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') })[0])
		}
	}
	return words
}
