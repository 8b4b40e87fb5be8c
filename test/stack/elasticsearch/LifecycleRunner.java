package kubescribe.test;

import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.UnaryOperator;

import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.elasticsearch.ElasticsearchException;
import org.elasticsearch.action.ActionListener;
import org.elasticsearch.client.internal.Client;
import org.elasticsearch.client.internal.OriginSettingClient;
import org.elasticsearch.cluster.ClusterState;
import org.elasticsearch.cluster.ClusterStateObserver;
import org.elasticsearch.cluster.ClusterStateUpdateTask;
import org.elasticsearch.cluster.metadata.IndexMetadata;
import org.elasticsearch.cluster.metadata.LifecycleExecutionState;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.Strings;
import org.elasticsearch.common.component.Lifecycle;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.gateway.GatewayService;
import org.elasticsearch.index.Index;
import org.elasticsearch.index.IndexSettings;
import org.elasticsearch.threadpool.Scheduler;
import org.elasticsearch.threadpool.ThreadPool;
import org.elasticsearch.xcontent.ToXContentObject;
import org.elasticsearch.xpack.core.XPackPlugin;
import org.elasticsearch.xpack.core.ilm.AsyncActionStep;
import org.elasticsearch.xpack.core.ilm.AsyncWaitStep;
import org.elasticsearch.xpack.core.ilm.ClusterStateActionStep;
import org.elasticsearch.xpack.core.ilm.ClusterStateWaitStep;
import org.elasticsearch.xpack.core.ilm.InitializePolicyContextStep;
import org.elasticsearch.xpack.core.ilm.LifecycleExecutionStateUtils;
import org.elasticsearch.xpack.core.ilm.LifecyclePolicyMetadata;
import org.elasticsearch.xpack.core.ilm.LifecycleSettings;
import org.elasticsearch.xpack.core.ilm.Phase;
import org.elasticsearch.xpack.core.ilm.PhaseCompleteStep;
import org.elasticsearch.xpack.core.ilm.PhaseExecutionInfo;
import org.elasticsearch.xpack.core.ilm.Step;
import org.elasticsearch.xpack.core.ilm.TerminalPolicyStep;

/**
 * TEST ONLY. Moves indices through the phases of their policy by polling: each pass runs an index's current step and goes on to the
 * next one until a step has to wait. Where an index stands is kept where stock ILM keeps it, in the index's metadata, so that it
 * survives a restart.
 */
final class LifecycleRunner {

    private static final Logger log = LogManager.getLogger(LifecycleRunner.class);

    private final ClusterService cluster;
    private final Client client;
    private final ThreadPool threads;
    /** UUIDs of the indices that a pass is working on: one pass at a time for each index. */
    private final Set<String> busy = ConcurrentHashMap.newKeySet();
    private Scheduler.Cancellable schedule;

    LifecycleRunner(ClusterService cluster, Client client, ThreadPool threads) {
        this.cluster = cluster;
        this.client = new OriginSettingClient(client, "index_lifecycle");
        this.threads = threads;
    }

    void start(Settings settings) {
        var setting = LifecycleSettings.LIFECYCLE_POLL_INTERVAL_SETTING;
        cluster.getClusterSettings().addSettingsUpdateConsumer(setting, this::poll);
        poll(setting.get(settings));
    }

    private synchronized void poll(TimeValue interval) {
        stop();
        schedule = threads.scheduleWithFixedDelay(this::tick, interval, threads.generic());
    }

    synchronized void stop() {
        if (schedule != null) {
            schedule.cancel();
        }
    }

    /** The moment from which an index's age counts: its origination date, else its rollover, else its creation. */
    static long birth(IndexMetadata index) {
        long origination = index.getSettings().getAsLong(IndexSettings.LIFECYCLE_ORIGINATION_DATE, -1L);
        if (origination >= 0) {
            return origination;
        }
        Long rollover = index.getLifecycleExecutionState().lifecycleDate();
        return rollover != null ? rollover : index.getCreationDate();
    }

    private void tick() {
        try {
            if (cluster.lifecycleState() != Lifecycle.State.STARTED) {
                return;
            }
            ClusterState state = cluster.state();
            boolean recovered = state.blocks().hasGlobalBlock(GatewayService.STATE_NOT_RECOVERED_BLOCK) == false;
            if (recovered == false || state.nodes().isLocalNodeElectedMaster() == false) {
                return;
            }
            for (IndexMetadata index : state.metadata()) {
                boolean skipped = index.getSettings().getAsBoolean(LifecycleSettings.LIFECYCLE_SKIP, false);
                if (index.getLifecyclePolicyName() != null && skipped == false && busy.add(index.getIndexUUID())) {
                    advance(index.getIndex());
                }
            }
        } catch (Exception e) {
            log.warn("lifecycle pass failed", e);
        }
    }

    /** Runs the current step. Every path ends in move (which goes on), or in report or rest (which end the index's pass). */
    private void advance(Index target) {
        ClusterState state = cluster.state();
        IndexMetadata index = state.metadata().index(target);
        if (index == null) {
            rest(target);
            return;
        }
        LifecyclePolicyMetadata policy = LifecycleRest.lifecycle(state).getPolicyMetadatas().get(index.getLifecyclePolicyName());
        if (policy == null) {
            report(target, problem("illegal_argument_exception", "policy [" + index.getLifecyclePolicyName() + "] does not exist"));
            return;
        }
        Step.StepKey current = Step.getCurrentStepKey(index.getLifecycleExecutionState());
        if (current == null) {
            move(target, policy, InitializePolicyContextStep.KEY);
            return;
        }
        try {
            for (Step step : policy.getPolicy().toSteps(client, XPackPlugin.getSharedLicenseState())) {
                if (step.getKey().equals(current)) {
                    run(step, target, index, policy, state);
                    return;
                }
            }
            rest(target); // the policy was changed under the index, or it is through
        } catch (Exception e) {
            fail(target, current, e);
        }
    }

    private void run(Step step, Index target, IndexMetadata index, LifecyclePolicyMetadata policy, ClusterState state) {
        if (step instanceof PhaseCompleteStep || step instanceof TerminalPolicyStep) {
            enterNextPhase(step, target, index, policy);
        } else if (step instanceof ClusterStateWaitStep wait) {
            ClusterStateWaitStep.Result result = wait.isConditionMet(target, state);
            if (result.complete()) {
                move(target, policy, step.getNextStepKey());
            } else {
                report(target, result.informationContext());
            }
        } else if (step instanceof ClusterStateActionStep action) {
            change("lifecycle-" + step.getKey(), target, true, now -> {
                ClusterState acted = action.performAction(target, now);
                return acted.metadata().index(target) == null ? acted : at(acted, target, policy, step.getNextStepKey());
            });
        } else if (step instanceof AsyncWaitStep wait) {
            wait.evaluateCondition(state.metadata(), index, new AsyncWaitStep.Listener() {
                @Override
                public void onResponse(boolean met, ToXContentObject info) {
                    if (met) {
                        move(target, policy, step.getNextStepKey());
                    } else {
                        report(target, info);
                    }
                }

                @Override
                public void onFailure(Exception e) {
                    fail(target, step.getKey(), e);
                }
            }, TimeValue.timeValueSeconds(30));
        } else if (step instanceof AsyncActionStep action) {
            var observer = new ClusterStateObserver(state, cluster, null, log, threads.getThreadContext());
            action.performAction(index, state, observer, ActionListener.wrap(done -> {
                if (action.indexSurvives()) {
                    move(target, policy, step.getNextStepKey());
                } else {
                    rest(target);
                }
            }, e -> fail(target, step.getKey(), e)));
        } else {
            rest(target);
        }
    }

    private void enterNextPhase(Step step, Index target, IndexMetadata index, LifecyclePolicyMetadata policy) {
        Step.StepKey next = step.getNextStepKey();
        if (next == null) {
            rest(target);
            return;
        }
        Phase phase = policy.getPolicy().getPhases().get(next.phase());
        long age = System.currentTimeMillis() - birth(index);
        if (phase == null || age >= phase.getMinimumAge().millis()) {
            move(target, policy, next);
        } else {
            rest(target);
        }
    }

    /** The state in which the index stands at a step. */
    private static ClusterState at(ClusterState state, Index target, LifecyclePolicyMetadata policy, Step.StepKey step) {
        LifecycleExecutionState old = state.metadata().index(target).getLifecycleExecutionState();
        long now = System.currentTimeMillis();
        boolean newPhase = step.phase().equals(old.phase()) == false;
        var next = LifecycleExecutionState.builder(old)
            .setPhase(step.phase())
            .setAction(step.action())
            .setStep(step.name())
            .setStepTime(now)
            .setStepInfo(null);
        if (newPhase) {
            Phase phase = policy.getPolicy().getPhases().get(step.phase());
            next.setPhaseTime(now);
            next.setPhaseDefinition(
                phase == null
                    ? null
                    : Strings.toString(new PhaseExecutionInfo(policy.getName(), phase, policy.getVersion(), policy.getModifiedDate()))
            );
        }
        if (newPhase || step.action().equals(old.action()) == false) {
            next.setActionTime(now);
        }
        return LifecycleExecutionStateUtils.newClusterStateWithLifecycleState(state, target, next.build());
    }

    private void move(Index target, LifecyclePolicyMetadata policy, Step.StepKey step) {
        if (step == null) {
            rest(target);
            return;
        }
        change("lifecycle-move", target, true, state -> state.metadata().index(target) == null ? state : at(state, target, policy, step));
    }

    /** Records why the index waits, and ends the pass. */
    private void report(Index target, ToXContentObject info) {
        String text = info == null ? null : Strings.toString(info);
        change("lifecycle-info", target, false, state -> {
            IndexMetadata index = state.metadata().index(target);
            if (index == null || Objects.equals(index.getLifecycleExecutionState().stepInfo(), text)) {
                return state;
            }
            var told = LifecycleExecutionState.builder(index.getLifecycleExecutionState()).setStepInfo(text).build();
            return LifecycleExecutionStateUtils.newClusterStateWithLifecycleState(state, target, told);
        });
    }

    private void fail(Index target, Step.StepKey step, Exception e) {
        log.warn("lifecycle step {} failed for {}", step, target, e);
        report(target, problem(ElasticsearchException.getExceptionName(e), e.getMessage()));
    }

    private static ToXContentObject problem(String type, String reason) {
        return (json, params) -> json.startObject().field("type", type).field("reason", reason).endObject();
    }

    private void rest(Index target) {
        busy.remove(target.getUUID());
    }

    private void change(String source, Index target, boolean goOn, UnaryOperator<ClusterState> edit) {
        cluster.submitUnbatchedStateUpdateTask(source, new ClusterStateUpdateTask() {
            @Override
            public ClusterState execute(ClusterState state) {
                return edit.apply(state);
            }

            @Override
            public void onFailure(Exception e) {
                log.warn("{} failed for {}", source, target, e);
                rest(target);
            }

            @Override
            public void clusterStateProcessed(ClusterState before, ClusterState after) {
                if (goOn) {
                    threads.generic().execute(() -> advance(target));
                } else {
                    rest(target);
                }
            }
        });
    }
}
