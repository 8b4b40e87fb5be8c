package store

// Field is something that a query can filter on.
type Field struct {
	// Name is the field's name in queries and in the API.
	Name string
	// Path is where it lies in the document, with dots; in Elasticsearch the field to filter on.
	Path string
	// Help says what it holds.
	Help string
	// Lower says that values are lower case in the document, so that a filter's value is lowered too.
	Lower bool
}

var fields = []Field{
	{Name: "id", Path: "event.id", Help: "the identity of the fact"},
	{Name: "class", Path: "kubescribe.class", Help: "the retention class"},
	{Name: "cluster", Path: "orchestrator.cluster.name", Help: "the cluster's name"},
	{Name: "namespace", Path: "kubernetes.namespace", Help: "the involved object's namespace"},
	{Name: "kind", Path: "orchestrator.resource.type", Help: "the involved object's kind", Lower: true},
	{Name: "name", Path: "orchestrator.resource.name", Help: "the involved object's name"},
	{Name: "uid", Path: "orchestrator.resource.id", Help: "the involved object's UID"},
	{Name: "reason", Path: "event.action", Help: "the event's reason"},
	{Name: "type", Path: "kubernetes.event.type", Help: "Normal or Warning"},
	{Name: "fact", Path: "kubescribe.type", Help: "event, container or gap"},
	{Name: "workload_kind", Path: "kubescribe.workload.kind", Help: "the kind of the top of the owner chain"},
	{Name: "workload", Path: "kubescribe.workload.name", Help: "the name of the top of the owner chain"},
	{Name: "service", Path: "service.name", Help: "the service that selects the pod"},
	{Name: "node", Path: "kubernetes.node.name", Help: "the node"},
}

// Fields lists the fields that a query can filter on. The caller owns the slice.
func Fields() []Field { return append([]Field(nil), fields...) }

func fieldByName(name string) (Field, bool) {
	for _, f := range fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}
