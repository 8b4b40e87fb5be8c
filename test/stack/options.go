package stack

// Detached leaves the servers running when the process that starts them ends: `stack up` uses it. A test must not. What was
// started detached is found again with OpenKafka, OpenElasticsearch and OpenKubernetes.
func Detached() interface {
	KafkaOption
	ElasticsearchOption
	KubernetesOption
} {
	return detached{}
}

type detached struct{}

func (detached) applyKafka(k *Kafka)                 { k.server.detached = true }
func (detached) applyElasticsearch(e *Elasticsearch) { e.server.detached = true }
func (detached) applyKubernetes(k *Kubernetes)       { k.detached = true }

// WithHeap sets the JVM's heap, fixed at this many MiB. The default is 512 for Kafka and 768 for Elasticsearch.
func WithHeap(mebibytes int) interface {
	KafkaOption
	ElasticsearchOption
} {
	return heap(mebibytes)
}

type heap int

func (h heap) applyKafka(k *Kafka)                 { k.heap = int(h) }
func (h heap) applyElasticsearch(e *Elasticsearch) { e.heap = int(h) }
