package kubescribe.test;

import static org.elasticsearch.rest.RestRequest.Method.DELETE;
import static org.elasticsearch.rest.RestRequest.Method.GET;
import static org.elasticsearch.rest.RestRequest.Method.HEAD;
import static org.elasticsearch.rest.RestRequest.Method.PUT;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;

import org.apache.lucene.util.Version;
import org.elasticsearch.Build;
import org.elasticsearch.ResourceNotFoundException;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.action.support.IndicesOptions;
import org.elasticsearch.client.internal.Client;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.ClusterState;
import org.elasticsearch.cluster.ClusterStateUpdateTask;
import org.elasticsearch.cluster.metadata.IndexMetadata;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.metadata.LifecycleExecutionState;
import org.elasticsearch.cluster.metadata.Metadata;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.Strings;
import org.elasticsearch.common.regex.Regex;
import org.elasticsearch.common.xcontent.XContentHelper;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestHandler.Route;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.action.RestToXContentListener;
import org.elasticsearch.xcontent.ToXContentObject;
import org.elasticsearch.xcontent.XContentBuilder;
import org.elasticsearch.xcontent.XContentParser;
import org.elasticsearch.xcontent.json.JsonXContent;
import org.elasticsearch.xpack.core.XPackPlugin;
import org.elasticsearch.xpack.core.ilm.IndexLifecycleMetadata;
import org.elasticsearch.xpack.core.ilm.LifecyclePolicy;
import org.elasticsearch.xpack.core.ilm.LifecyclePolicyMetadata;
import org.elasticsearch.xpack.core.ilm.action.PutLifecycleRequest;

/** TEST ONLY. {@code GET /} and the {@code _ilm} requests that the project sends, answered in stock Elasticsearch's form. */
final class LifecycleRest {

    private static final TimeValue TIMEOUT = TimeValue.timeValueSeconds(30);

    private final ClusterService cluster;
    private final Client client;
    private final IndexNameExpressionResolver resolver;

    LifecycleRest(ClusterService cluster, Client client, IndexNameExpressionResolver resolver) {
        this.cluster = cluster;
        this.client = client;
        this.resolver = resolver;
    }

    List<RestHandler> handlers() {
        return List.of(
            handler("dev_main", this::main, new Route(GET, "/"), new Route(HEAD, "/")),
            handler("dev_ilm_put", this::putPolicy, new Route(PUT, "/_ilm/policy/{name}")),
            handler("dev_ilm_get", this::getPolicy, new Route(GET, "/_ilm/policy"), new Route(GET, "/_ilm/policy/{name}")),
            handler("dev_ilm_delete", this::deletePolicy, new Route(DELETE, "/_ilm/policy/{name}")),
            handler("dev_ilm_status", this::status, new Route(GET, "/_ilm/status")),
            handler("dev_ilm_explain", this::explain, new Route(GET, "/{index}/_ilm/explain"))
        );
    }

    private interface Body {
        void answer(RestRequest request, ActionListener<ToXContentObject> listener) throws Exception;
    }

    private static RestHandler handler(String name, Body body, Route... routes) {
        return new BaseRestHandler() {
            @Override
            public String getName() {
                return name;
            }

            @Override
            public List<Route> routes() {
                return List.of(routes);
            }

            @Override
            protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient nodeClient) {
                // A parameter or body that nobody read is refused before the body below runs.
                for (String known : List.of("name", "index", "master_timeout", "timeout", "only_errors", "only_managed")) {
                    request.param(known);
                }
                if (request.hasContent()) {
                    request.content();
                }
                return channel -> {
                    ActionListener<ToXContentObject> listener = new RestToXContentListener<>(channel);
                    try {
                        body.answer(request, listener);
                    } catch (Exception e) {
                        listener.onFailure(e);
                    }
                };
            }
        };
    }

    private void main(RestRequest request, ActionListener<ToXContentObject> listener) {
        Build build = Build.current();
        ClusterState state = cluster.state();
        listener.onResponse((json, params) -> {
            json.startObject();
            json.field("name", cluster.getNodeName());
            json.field("cluster_name", state.getClusterName().value());
            json.field("cluster_uuid", state.metadata().clusterUUID());
            json.startObject("version");
            json.field("number", build.qualifiedVersion());
            json.field("build_flavor", build.flavor());
            json.field("build_type", build.type().displayName());
            json.field("build_hash", build.hash());
            json.field("build_date", build.date());
            json.field("build_snapshot", build.isSnapshot());
            json.field("lucene_version", Version.LATEST.toString());
            json.field("minimum_wire_compatibility_version", build.minWireCompatVersion());
            json.field("minimum_index_compatibility_version", build.minIndexCompatVersion());
            json.endObject();
            json.field("tagline", "You Know, for Search");
            return json.endObject();
        });
    }

    private void putPolicy(RestRequest request, ActionListener<ToXContentObject> listener) throws IOException {
        String name = request.param("name");
        LifecyclePolicy policy;
        try (XContentParser parser = request.contentParser()) {
            policy = PutLifecycleRequest.parseRequest(new PutLifecycleRequest.Factory() {
                @Override
                public PutLifecycleRequest create(LifecyclePolicy parsed) {
                    return new PutLifecycleRequest(TIMEOUT, TIMEOUT, parsed);
                }

                @Override
                public String getPolicyName() {
                    return name;
                }
            }, parser).getPolicy();
        }
        LifecyclePolicy.validatePolicyName(name);
        policy.validate();
        policy.toSteps(client, XPackPlugin.getSharedLicenseState()); // throws on a policy whose steps cannot be made
        changePolicies("put-lifecycle", listener, policies -> {
            LifecyclePolicyMetadata old = policies.get(name);
            long version = old == null ? 1 : old.getVersion() + 1;
            policies.put(name, new LifecyclePolicyMetadata(policy, Map.of(), version, System.currentTimeMillis()));
        });
    }

    private void getPolicy(RestRequest request, ActionListener<ToXContentObject> listener) {
        String name = request.param("name", "*");
        Map<String, LifecyclePolicyMetadata> found = new TreeMap<>(lifecycle(cluster.state()).getPolicyMetadatas());
        found.keySet().removeIf(policy -> Regex.simpleMatch(Strings.splitStringByCommaToArray(name), policy) == false);
        if (found.isEmpty() && Regex.isSimpleMatchPattern(name) == false) {
            throw new ResourceNotFoundException("Lifecycle policy not found: {}", name);
        }
        listener.onResponse((json, params) -> {
            json.startObject();
            for (Map.Entry<String, LifecyclePolicyMetadata> entry : found.entrySet()) {
                json.startObject(entry.getKey());
                json.field("version", entry.getValue().getVersion());
                json.field("modified_date", entry.getValue().getModifiedDateString());
                json.field("policy", entry.getValue().getPolicy());
                json.startObject("in_use_by");
                json.field("indices", indicesUsing(cluster.state(), entry.getKey()));
                json.field("data_streams", List.of());
                json.field("composable_templates", List.of());
                json.endObject();
                json.endObject();
            }
            return json.endObject();
        });
    }

    private void deletePolicy(RestRequest request, ActionListener<ToXContentObject> listener) {
        String name = request.param("name");
        changePolicies("delete-lifecycle", listener, policies -> {
            List<String> users = indicesUsing(cluster.state(), name);
            if (users.isEmpty() == false) {
                throw new IllegalArgumentException("Cannot delete policy [" + name + "]. It is in use by one or more indices: " + users);
            }
            if (policies.remove(name) == null) {
                throw new ResourceNotFoundException("Lifecycle policy not found: {}", name);
            }
        });
    }

    private void status(RestRequest request, ActionListener<ToXContentObject> listener) {
        listener.onResponse(
            (json, params) -> json.startObject().field("operation_mode", lifecycle(cluster.state()).getOperationMode()).endObject()
        );
    }

    private void explain(RestRequest request, ActionListener<ToXContentObject> listener) {
        ClusterState state = cluster.state();
        String[] names = resolver.concreteIndexNames(
            state,
            IndicesOptions.strictExpandOpenAndForbidClosed(),
            true,
            Strings.splitStringByCommaToArray(request.param("index"))
        );
        listener.onResponse((json, params) -> {
            json.startObject().startObject("indices");
            for (String name : names) {
                explain(json, state.metadata().index(name));
            }
            return json.endObject().endObject();
        });
    }

    private static void explain(XContentBuilder json, IndexMetadata index) throws IOException {
        String name = index.getIndex().getName();
        String policy = index.getLifecyclePolicyName();
        json.startObject(name).field("index", name).field("managed", policy != null);
        if (policy != null) {
            LifecycleExecutionState execution = index.getLifecycleExecutionState();
            long born = LifecycleRunner.birth(index);
            json.field("policy", policy);
            json.field("index_creation_date_millis", index.getCreationDate());
            json.field("lifecycle_date_millis", born);
            json.field("age", TimeValue.timeValueMillis(System.currentTimeMillis() - born).toHumanReadableString(2));
            json.field("phase", execution.phase()).field("phase_time_millis", execution.phaseTime());
            json.field("action", execution.action()).field("action_time_millis", execution.actionTime());
            json.field("step", execution.step()).field("step_time_millis", execution.stepTime());
            if (execution.stepInfo() != null) {
                json.field("step_info", XContentHelper.convertToMap(JsonXContent.jsonXContent, execution.stepInfo(), true));
            }
        }
        json.endObject();
    }

    /** Applies a change to the policies in the cluster state, in the master's own order, and acknowledges it. */
    private void changePolicies(
        String source,
        ActionListener<ToXContentObject> listener,
        Consumer<Map<String, LifecyclePolicyMetadata>> change
    ) {
        UnaryOperator<ClusterState> apply = state -> {
            IndexLifecycleMetadata old = lifecycle(state);
            Map<String, LifecyclePolicyMetadata> policies = new TreeMap<>(old.getPolicyMetadatas());
            change.accept(policies);
            IndexLifecycleMetadata changed = new IndexLifecycleMetadata(policies, old.getOperationMode());
            Metadata.Builder metadata = Metadata.builder(state.metadata()).putCustom(IndexLifecycleMetadata.TYPE, changed);
            return ClusterState.builder(state).metadata(metadata).build();
        };
        cluster.submitUnbatchedStateUpdateTask(source, new ClusterStateUpdateTask() {
            @Override
            public ClusterState execute(ClusterState state) {
                return apply.apply(state);
            }

            @Override
            public void onFailure(Exception e) {
                listener.onFailure(e);
            }

            @Override
            public void clusterStateProcessed(ClusterState before, ClusterState after) {
                listener.onResponse((json, params) -> json.startObject().field("acknowledged", true).endObject());
            }
        });
    }

    static IndexLifecycleMetadata lifecycle(ClusterState state) {
        return state.metadata().custom(IndexLifecycleMetadata.TYPE, IndexLifecycleMetadata.EMPTY);
    }

    private static List<String> indicesUsing(ClusterState state, String policy) {
        List<String> names = new ArrayList<>();
        for (IndexMetadata index : state.metadata()) {
            if (policy.equals(index.getLifecyclePolicyName())) {
                names.add(index.getIndex().getName());
            }
        }
        return names;
    }
}
