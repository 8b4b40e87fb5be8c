package schemas

// document and what follows name the members in the order of the structs' fields; TestEncodeIsEncodingJSON holds the two together.
func (a *appender) document(d *Document) {
	a.open("")
	a.time("@timestamp", d.Timestamp)
	a.some("message", d.Message)
	a.open("ecs")
	a.str("version", d.ECS.Version)
	a.close()
	a.event(&d.Event)
	if d.Log != nil {
		a.open("log")
		a.str("level", d.Log.Level)
		a.close()
	}
	a.orchestrator(&d.Orchestrator)
	a.kubernetes(&d.Kubernetes)
	if d.Container != nil {
		a.container(d.Container)
	}
	if d.Service != nil {
		a.open("service")
		a.some("name", d.Service.Name)
		a.close()
	}
	if d.Process != nil {
		a.rest("process", d.Process)
	}
	if d.Error != nil {
		a.rest("error", d.Error)
	}
	if d.Cloud != nil {
		a.cloud(d.Cloud)
	}
	a.labels("labels", d.Labels)
	a.kubescribe(&d.Kubescribe)
	a.close()
}

func (a *appender) event(e *EventInfo) {
	a.open("event")
	a.str("id", e.ID)
	a.str("kind", e.Kind)
	a.str("module", e.Module)
	a.str("dataset", e.Dataset)
	a.strs("type", e.Type)
	a.some("action", e.Action)
	a.some("provider", e.Provider)
	a.time("created", e.Created)
	a.someTime("start", e.Start)
	a.someTime("end", e.End)
	a.some("original", e.Original)
	a.close()
}

func (a *appender) orchestrator(o *Orchestrator) {
	a.open("orchestrator")
	a.str("type", o.Type)
	a.open("cluster")
	a.some("name", o.Cluster.Name)
	a.some("id", o.Cluster.ID)
	a.close()
	a.some("namespace", o.Namespace)
	if r := &o.Resource; *r != (Resource{}) {
		a.open("resource")
		a.some("type", r.Type)
		a.some("name", r.Name)
		a.some("id", r.ID)
		if r.Parent != nil {
			a.open("parent")
			a.str("type", r.Parent.Type)
			a.close()
		}
		a.close()
	}
	a.close()
}

func (a *appender) kubernetes(k *Kubernetes) {
	a.open("kubernetes")
	a.some("namespace", k.Namespace)
	if k.Event != nil {
		a.kubernetesEvent(k.Event)
	}
	a.kubernetesName("node", k.Node)
	a.kubernetesName("pod", k.Pod)
	a.kubernetesName("container", k.Container)
	a.kubernetesName("deployment", k.Deployment)
	a.kubernetesName("replicaset", k.ReplicaSet)
	a.kubernetesName("statefulset", k.StatefulSet)
	a.kubernetesName("daemonset", k.DaemonSet)
	a.kubernetesName("job", k.Job)
	a.kubernetesName("cronjob", k.CronJob)
	a.labels("labels", k.Labels)
	a.labels("annotations", k.Annotations)
	a.labels("namespace_labels", k.NamespaceLabels)
	a.close()
}

func (a *appender) kubernetesName(name string, n *KubernetesName) {
	if n != nil {
		a.open(name)
		a.some("name", n.Name)
		a.some("uid", n.UID)
		a.close()
	}
}

func (a *appender) kubernetesEvent(e *KubernetesEvent) {
	a.open("event")
	a.some("type", e.Type)
	a.some("reason", e.Reason)
	if e.Count != 0 {
		a.int("count", e.Count)
	}
	if t := e.Timestamp; t != nil {
		a.open("timestamp")
		a.someTime("first_occurrence", t.FirstOccurrence)
		a.someTime("last_occurrence", t.LastOccurrence)
		a.close()
	}
	if s := e.Source; s != nil {
		a.open("source")
		a.some("component", s.Component)
		a.some("host", s.Host)
		a.close()
	}
	m := &e.Metadata
	a.open("metadata")
	a.some("name", m.Name)
	a.some("namespace", m.Namespace)
	a.some("uid", m.UID)
	a.some("resource_version", m.ResourceVersion)
	a.close()
	a.subject("involved_object", &e.InvolvedObject)
	if e.Related != nil {
		a.subject("related", e.Related)
	}
	a.close()
}

func (a *appender) subject(name string, s *Subject) {
	a.open(name)
	a.some("apiVersion", s.APIVersion)
	a.some("kind", s.Kind)
	a.some("namespace", s.Namespace)
	a.some("name", s.Name)
	a.some("uid", s.UID)
	a.some("resourceVersion", s.ResourceVersion)
	a.some("fieldPath", s.FieldPath)
	a.close()
}

func (a *appender) container(c *Container) {
	a.open("container")
	a.some("id", c.ID)
	a.some("runtime", c.Runtime)
	a.some("name", c.Name)
	if c.Image != nil {
		a.open("image")
		a.some("name", c.Image.Name)
		a.close()
	}
	a.close()
}

func (a *appender) cloud(c *Cloud) {
	a.open("cloud")
	a.some("availability_zone", c.AvailabilityZone)
	a.some("region", c.Region)
	if c.Machine != nil {
		a.open("machine")
		a.some("type", c.Machine.Type)
		a.close()
	}
	a.close()
}

func (a *appender) kubescribe(k *Kubescribe) {
	a.open("kubescribe")
	a.str("source", string(k.Source))
	a.str("type", string(k.Type))
	a.str("class", k.Class)
	a.flag("time_adjusted", k.TimeAdjusted)
	if k.Occurrences != nil {
		a.int("occurrences", *k.Occurrences)
	}
	a.some("message_hash", k.MessageHash)
	if k.Workload != nil {
		a.name("workload")
		a.owner(k.Workload)
	}
	if len(k.Owners) > 0 {
		a.name("owners")
		for i := range k.Owners {
			a.b = append(a.b, "[,"[min(i, 1)])
			a.owner(&k.Owners[i])
		}
		a.b = append(a.b, ']')
	}
	a.strs("services", k.Services)
	if n := k.Node; n != nil {
		a.open("node")
		a.some("pool", n.Pool)
		a.some("ready", n.Ready)
		a.strs("conditions", n.Conditions)
		a.flag("unschedulable", n.Unschedulable)
		a.flag("deleted", n.Deleted)
		a.close()
	}
	if r := k.Rollout; r != nil {
		a.rollout(r)
	}
	if k.Volume != nil {
		a.rest("volume", k.Volume)
	}
	if k.Container != nil {
		a.rest("container", k.Container)
	}
	if k.Log != nil {
		a.rest("log", k.Log)
	}
	if k.Gap != nil {
		a.rest("gap", k.Gap)
	}
	if e := k.Enrichment; e != nil {
		a.open("enrichment")
		a.str("status", e.Status)
		a.strs("missing", e.Missing)
		a.close()
	}
	a.strs("truncated", k.Truncated)
	a.close()
}

func (a *appender) owner(o *Owner) {
	a.open("")
	a.some("api_version", o.APIVersion)
	a.str("kind", o.Kind)
	a.str("name", o.Name)
	a.some("uid", o.UID)
	a.close()
}

func (a *appender) rollout(r *Rollout) {
	a.open("rollout")
	a.int("revision", r.Revision)
	if r.PodRevision != 0 {
		a.int("pod_revision", r.PodRevision)
	}
	a.strs("images", r.Images)
	a.strs("previous_images", r.PreviousImages)
	a.someTime("changed_at", r.ChangedAt)
	a.int("age_seconds", r.AgeSeconds)
	a.close()
}
