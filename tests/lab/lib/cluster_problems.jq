# Reads a list of nodes, leases, pods, Deployments and StatefulSets; writes a line for each
# thing that is not yet as it should be. $boots: by Pi, the second of its last power-on, or null.

def seconds: sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601;

.items as $items
| def of_kind($kinds): $items[] | select(.kind | IN($kinds[]));
  def lab_own: select(.metadata.namespace | IN("kube-system", "argocd"));

($boots | to_entries[] | . as {key: $pi, value: $boot}
  | [of_kind(["Node"]) | select(.metadata.name == $pi)
      | .status.conditions[] | select(.type == "Ready") | .status] as $ready
  | [of_kind(["Lease"]) | select(.metadata.namespace == "kube-node-lease" and .metadata.name == $pi)
      | .spec.renewTime | seconds] as $renewed
  | if $boot == null then "node \($pi) has no power"
    elif $ready != ["True"] then "node \($pi) is not Ready"
    elif ($renewed[0] // 0) < $boot then "node \($pi) has not reported since its boot"
    else empty end),

(of_kind(["Deployment", "StatefulSet"]) | lab_own
  | select(.status.observedGeneration != .metadata.generation
      or (.status.readyReplicas // 0) != .spec.replicas
      or (.status.updatedReplicas // 0) != .spec.replicas)
  | "\(.kind) \(.metadata.name) has \(.status.readyReplicas // 0) of \(.spec.replicas) ready"),

(of_kind(["Pod"]) | lab_own | select(.metadata.deletionTimestamp == null)
  | . as $pod | ($boots[.spec.nodeName // ""] // 0) as $boot
  | select((.status.containerStatuses // []) as $states
      | ($states | length) == 0
        or any($states[]; (.ready | not) or ((.state.running.startedAt // "1970-01-01T00:00:00Z") | seconds) < $boot))
  | "pod \(.metadata.name) on \(.spec.nodeName) has not started since the boot")
