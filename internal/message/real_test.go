package message

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// real are messages as components of Kubernetes and what runs on it write them: each line a message in several occurrences, which differ
// in what varies and in nothing that matters.
var real = [][]string{
	{ // kubelet
		"Back-off restarting failed container main in pod web-6d4cf56db6-x7k2p_shop(6de3e614-a100-440e-9421-7a143ad647cc)",
		"Back-off restarting failed container main in pod web-578b4789ff-bcdfg_shop(b2f4ab66-0f9c-4c57-9a37-111111111111)",
		"Back-off restarting failed container main in pod web-bcdfghjkl-9zq4l_shop(00000000-0000-4000-8000-000000000001)",
	},
	{
		`Back-off pulling image "registry.example/shop/web:1.4.2"`, `Back-off pulling image "registry.example/shop/web:1.5.0"`,
	},
	{
		`Failed to pull image "registry.example/web@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08": rpc error: code = NotFound desc = not found`,
		`Failed to pull image "registry.example/web@sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752": rpc error: code = NotFound desc = not found`,
	},
	{
		`Successfully pulled image "nginx:1.27" in 1.532s (1.532s including waiting). Image size: 72099501 bytes.`,
		`Successfully pulled image "nginx:1.27" in 812ms (2m3.1s including waiting). Image size: 72099411 bytes.`,
	},
	{
		`Readiness probe failed: Get "http://10.244.0.13:8080/healthz": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
		`Readiness probe failed: Get "http://10.244.17.201:8080/healthz": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
		`Readiness probe failed: Get "http://10.1.2.3:9090/healthz": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`,
	},
	{
		`Liveness probe failed: HTTP probe failed with statuscode: 503`, `Liveness probe failed: HTTP probe failed with statuscode: 500`,
	},
	{
		`Liveness probe failed: dial tcp 10.244.0.13:8080: connect: connection refused`, `Liveness probe failed: dial tcp 10.244.3.9:8080: connect: connection refused`,
	},
	{
		`Startup probe failed: dial tcp [fd00:10:244::1d]:8080: i/o timeout`, `Startup probe failed: dial tcp [fd00:10:244:1::2f]:8443: i/o timeout`,
	},
	{
		`MountVolume.SetUp failed for volume "kube-api-access-x7k2p" : object "shop"/"kube-root-ca.crt" not registered`,
		`MountVolume.SetUp failed for volume "kube-api-access-bcdfg" : object "shop"/"kube-root-ca.crt" not registered`,
	},
	{
		`Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data kube-api-access-9q4lm]: timed out waiting for the condition`,
		`Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[data kube-api-access-hh5tv]: timed out waiting for the condition`,
	},
	{
		`The node was low on resource: memory. Threshold quantity: 100Mi, available: 63212Ki. Container main was using 1843200Ki, request is 1Gi, has larger consumption of memory.`,
		`The node was low on resource: memory. Threshold quantity: 100Mi, available: 1024Ki. Container main was using 2Gi, request is 512Mi, has larger consumption of memory.`,
	},
	{
		`System OOM encountered, victim process: java, pid: 3217841`, `System OOM encountered, victim process: java, pid: 99`,
	},
	{
		`Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "5e0f1f6ec6c8a7d2b6f7e1d6d9c9a5f4b3e2d1c0b9a8f7e6d5c4b3a2f1e0d9c8": plugin type="calico" failed (add): error getting ClusterInformation: Get "https://10.96.0.1:443/apis/crd": dial tcp 10.96.0.1:443: i/o timeout`,
		`Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9": plugin type="calico" failed (add): error getting ClusterInformation: Get "https://10.43.0.1:443/apis/crd": dial tcp 10.43.0.1:443: i/o timeout`,
	},
	{
		`Container main failed liveness probe, will be restarted`, `Container main failed  liveness probe, will be restarted`,
	},
	{
		`Node node-1 has been rebooted, boot id: 1d8f4f3a-8a0b-4b43-9a0e-3f0c52a4dd17`, `Node node-12 has been rebooted, boot id: 00000000-1111-2222-3333-444444444444`,
	},
	{
		`Failed to garbage collect required amount of images. Attempted to free 1734652723 bytes, but only found 0 bytes eligible to free.`,
		`Failed to garbage collect required amount of images. Attempted to free 99 bytes, but only found 12 bytes eligible to free.`,
	},
	{ // scheduler
		`0/3 nodes are available: 2 Insufficient cpu, 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.`,
		`0/12 nodes are available: 11 Insufficient cpu, 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }. preemption: 0/12 nodes are available: 12 No preemption victims found for incoming pod.`,
	},
	{
		`Successfully assigned shop/web-6d4cf56db6-x7k2p to node-2`, `Successfully assigned shop/web-578b4789ff-hq8zz to node-17`,
	},
	{
		`Preempted by pod 6de3e614-a100-440e-9421-7a143ad647cc on node node-1`, `Preempted by pod 7fe3e614-a100-440e-9421-7a143ad647cc on node node-3`,
	},
	{ // controllers
		`Scaled up replica set web-578b4789ff from 0 to 3`, `Scaled up replica set web-6d4cf56db6 from 1 to 2`,
	},
	{
		`Created pod: web-578b4789ff-x7k2p`, `Created pod: web-578b4789ff-bcdfg`,
	},
	{
		`Error creating: pods "web-578b4789ff-x7k2p" is forbidden: exceeded quota: compute, requested: limits.cpu=2, used: limits.cpu=19, limited: limits.cpu=20`,
		`Error creating: pods "web-578b4789ff-4bb2h" is forbidden: exceeded quota: compute, requested: limits.cpu=500m, used: limits.cpu=20, limited: limits.cpu=20`,
	},
	{
		`Job has reached the specified backoff limit`, `Job has reached the specified backoff limit `,
	},
	{
		`Created job backup-29384`, `Created job backup-29441234`,
	},
	{
		`Saw completed job: backup-29384, condition: Complete`, `Saw completed job: backup-29385, condition: Complete`,
	},
	{
		`Missed scheduled time to start a job: Fri, 20 Nov 2026 10:06:36 +0000`, `Missed scheduled time to start a job: Fri, 20 Nov 2026 22:15:00 +0000`,
	},
	{
		`failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready) after 30s`,
		`failed to get cpu utilization: did not receive metrics for targeted pods (pods might be unready) after 1m30s`,
	},
	{
		`New size: 5; reason: cpu resource utilization (percentage of request) above target`, `New size: 12; reason: cpu resource utilization (percentage of request) above target`,
	},
	{
		`Node node-1 status is now: NodeNotReady`, `Node node-22 status is now: NodeNotReady`,
	},
	{
		`waiting for a volume to be created, either by external provisioner "ebs.csi.aws.com" or manually created by system administrator`,
	},
	{
		`AttachVolume.Attach failed for volume "pvc-6de3e614-a100-440e-9421-7a143ad647cc" : rpc error: code = Internal desc = Could not attach volume "vol-0a1b2c3d4e5f60718" to node "i-0abc123def4567890": context deadline exceeded`,
		`AttachVolume.Attach failed for volume "pvc-00000000-a100-440e-9421-7a143ad647cc" : rpc error: code = Internal desc = Could not attach volume "vol-0ffffffffff607180" to node "i-0fff123def4567890": context deadline exceeded`,
	},
	{
		`Multi-Attach error for volume "pvc-6de3e614-a100-440e-9421-7a143ad647cc" Volume is already used by pod(s) db-0`,
		`Multi-Attach error for volume "pvc-00000000-a100-440e-9421-7a143ad647cc" Volume is already used by pod(s) db-2`,
	},
	{
		`Error syncing load balancer: failed to ensure load balancer: request id: 2b1f6a3c-77aa-4d61-9f0e-1c2d3e4f5a6b timed out after 15m0s`,
		`Error syncing load balancer: failed to ensure load balancer: request id: 3c1f6a3c-77aa-4d61-9f0e-1c2d3e4f5a6b timed out after 900s`,
	},
	{ // what runs on it
		`Deleted pod: shop/web-6d4cf56db6-x7k2p by taint manager after 5m0s`, `Deleted pod: shop/web-6d4cf56db6-zzzzz by taint manager after 300s`,
	},
	{
		`Pod should schedule on: nodeclaim/default-x7k2p, node/ip-10-0-12-34.eu-west-1.compute.internal`,
		`Pod should schedule on: nodeclaim/default-bcdfg, node/ip-10-0-200-3.eu-west-1.compute.internal`,
	},
	{
		`Error updating Endpoint Slices for Service shop/web: failed to update web-x7k2p EndpointSlice for Service shop/web: Operation cannot be fulfilled on endpointslices "web-x7k2p": the object has been modified`,
		`Error updating Endpoint Slices for Service shop/web: failed to update web-9q4lm EndpointSlice for Service shop/web: Operation cannot be fulfilled on endpointslices "web-9q4lm": the object has been modified`,
	},
}

func TestRealMessages(t *testing.T) {
	require.GreaterOrEqual(t, len(real), 30)
	hashes := map[string]string{}
	for _, occurrences := range real {
		first := occurrences[0]
		for _, m := range occurrences[1:] {
			require.Equal(t, Normalise(first), Normalise(m))
			require.Equal(t, Hash(first), Hash(m))
		}
		require.Empty(t, hashes[Hash(first)], "%q is another problem than %q", first, hashes[Hash(first)])
		hashes[Hash(first)] = first
	}
}
