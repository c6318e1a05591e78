#!/bin/sh
# End-to-end test of an installed driver on any cluster that kubectl reaches; needs kubectl and sh only. It creates and
# deletes file systems: on Azure that takes 10 to 20 minutes each and is billed (by E2E_PARAMETERS).
#
#   E2E_NAMESPACE     namespace that is made and deleted (default: lustre-e2e)
#   E2E_IMAGE         image with a shell and the usual tools (default: busybox of Microsoft's registry)
#   E2E_PARAMETERS    parameters of the StorageClass, `key=value` separated by blanks
#   E2E_SIZE          size of each claim (default: 16Ti)
#   E2E_DATA          which pods share one file system's files: `shared` (all; default), `node` (those of one node:
#                     simulator), or `pod` (none: mounts of tmpfs)
#   E2E_READY         seconds until a claim has to be Bound (default: 2400)
#   E2E_STEPS         steps to run, in their order (default: all that --list prints)
#   E2E_DRIVER_NAMESPACE  namespace of the driver (default: kube-system)
set -eu

DRIVER=azurelustre.csi.azure.com
NAMESPACE=${E2E_NAMESPACE:-lustre-e2e}
IMAGE=${E2E_IMAGE:-mcr.microsoft.com/azurelinux/busybox:1.36}
PARAMETERS=${E2E_PARAMETERS:-sku-name=AMLFS-Durable-Premium-125 zone=1 maintenance-day-of-week=Sunday maintenance-time-of-day-utc=22:00}
SIZE=${E2E_SIZE:-16Ti}
DATA=${E2E_DATA:-shared}
READY=${E2E_READY:-2400}
DRIVER_NAMESPACE=${E2E_DRIVER_NAMESPACE:-kube-system}
CLASS=$NAMESPACE-class
STEPS='wrong_class bound events sharing read_only fs_group sub_path stats sub_dir single_writer pod_with_files quota delete_while_creating gone'

k() { kubectl --namespace "$NAMESPACE" "$@"; }

# Runs a command each second until it succeeds.
until_true() { # seconds, what, command...
    seconds=$1 what=$2
    shift 2
    while ! "$@" >/dev/null 2>&1; do
        seconds=$((seconds - 1))
        [ "$seconds" -gt 0 ] || { echo "error: timed out: $what" >&2; return 1; }
        sleep 1
    done
}

# Prints the state of the failed step, which the clean-up deletes.
explain() {
    echo "--- pods, claims, volumes"
    k get pods,persistentvolumeclaims -o wide || true
    kubectl get persistentvolumes || true
    echo "--- events"
    k get events --sort-by=.lastTimestamp | tail -n 40 || true
    echo "--- driver"
    kubectl --namespace "$DRIVER_NAMESPACE" get pods -o wide || true
    kubectl --namespace "$DRIVER_NAMESPACE" logs -l app=csi-azurelustre-controller --all-containers --prefix --tail=30 || true
    kubectl --namespace "$DRIVER_NAMESPACE" logs -l app=csi-azurelustre-node --all-containers --prefix --tail=30 || true
}

class() { # name, parameters
    cat <<YAML
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: $1
provisioner: $DRIVER
parameters:
$(for pair in $2; do printf '  %s: "%s"\n' "${pair%%=*}" "${pair#*=}"; done)
mountOptions: [noatime, flock]
reclaimPolicy: Delete
volumeBindingMode: Immediate
YAML
}

claim() { # name, class, access mode, volume name
    cat <<YAML
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: $1
spec:
  accessModes: [$3]
  storageClassName: "$2"
  volumeName: "${4:-}"
  resources:
    requests:
      storage: $SIZE
YAML
}

# A pod that runs until it is deleted, and then ends at once.
pod() { # name, claim, more of the volume mount, more of the claim, more of the pod's spec
    cat <<YAML
apiVersion: v1
kind: Pod
metadata:
  name: $1
spec:
  terminationGracePeriodSeconds: 1
  tolerations: [{operator: Exists}]
  ${5:-restartPolicy: Always}
  containers:
    - name: shell
      image: $IMAGE
      command: [/bin/sh, -c, "trap 'exit 0' TERM; while true; do sleep 1; done"]
      volumeMounts:
        - {name: lustre, mountPath: /data${3:+, $3}}
  volumes:
    - name: lustre
      persistentVolumeClaim: {claimName: $2${4:+, $4}}
YAML
}

apply() { kubectl --namespace "$NAMESPACE" apply -f - >/dev/null; }
in_pod() { pod_name=$1; shift; k exec "$pod_name" -- /bin/sh -c "$*"; }
wait_ready() { k wait "pod/$1" --for=condition=Ready --timeout=180s >/dev/null; }
wait_bound() { k wait "persistentvolumeclaim/$1" --for=jsonpath='{.status.phase}'=Bound --timeout="${READY}s" >/dev/null; }
remove_pods() { k delete pod "$@" --wait --timeout=120s >/dev/null; }
volume_of() { k get persistentvolumeclaim "$1" -o jsonpath='{.spec.volumeName}'; }
node_of() { k get pod "$1" -o jsonpath='{.spec.nodeName}'; }
has_event() { k get events --field-selector "involvedObject.name=$1" -o jsonpath='{range .items[*]}{.type} {.reason} {.message}{"\n"}{end}' | grep -q "$2"; }
# Pods that share data of one node run on the node of the first one.
beside() { # pod
    [ "$DATA" = shared ] || printf 'nodeName: %s' "$(node_of "$1")"
}

# A misspelt parameter is reported on the claim, and nothing is created.
wrong_class() {
    class "$CLASS-wrong" "$(echo "$PARAMETERS" | sed 's/sku-name=/sku-nam=/')" | apply
    claim wrong "$CLASS-wrong" ReadWriteMany | apply
    until_true 120 'an event that names sku-name' has_event wrong 'Warning ProvisioningFailed .*sku-name'
    k delete persistentvolumeclaim wrong --timeout=60s >/dev/null
    kubectl delete storageclass "$CLASS-wrong" >/dev/null
}

bound() {
    class "$CLASS" "$PARAMETERS" | apply
    claim data "$CLASS" ReadWriteMany | apply
    wait_bound data
}

# Events of the driver and of external-provisioner; at most one a minute by the driver.
events() {
    until_true 60 'the event of external-provisioner' has_event data 'Normal ProvisioningSucceeded'
    until_true 90 "the driver's event" has_event data 'Normal Filesystem'
}

sharing() {
    pod first data | apply
    wait_ready first
    pod second data '' '' "$(beside first)" | apply
    wait_ready second
    in_pod first 'mkdir -p /data/folder && echo of-first >/data/file && df /data >/dev/null && sync'
    [ "$(in_pod first 'cat /data/file')" = of-first ]
    [ "$DATA" = pod ] || [ "$(in_pod second 'cat /data/file')" = of-first ]
}

read_only() {
    pod reader data '' 'readOnly: true' "$(beside first)" | apply
    wait_ready reader
    if in_pod reader 'touch /data/of-reader' 2>/dev/null; then
        echo 'error: a read-only volume was written' >&2
        return 1
    fi
    [ "$DATA" = pod ] || [ "$(in_pod reader 'cat /data/file')" = of-first ]
    in_pod first 'touch /data/of-first'
    remove_pods reader
}

fs_group() {
    context='securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000}'
    pod group data '' '' "$context" | apply
    wait_ready group
    [ "$(in_pod group 'stat -c %g /data')" = 2000 ]
    # shellcheck disable=SC2016 # for the shell in the pod
    in_pod group 'echo x >/data/of-group && [ "$(stat -c %g /data/of-group)" = 2000 ]'
    remove_pods group
}

sub_path() {
    pod path data 'subPath: folder' '' "$(beside first)" | apply
    wait_ready path
    in_pod path 'echo of-path >/data/inside'
    [ "$DATA" = pod ] || [ "$(in_pod first 'cat /data/folder/inside')" = of-path ]
    remove_pods path
}

# kubelet measures each volume about once a minute.
stats() {
    node=$(node_of first)
    for name in capacity_bytes used_bytes available_bytes; do
        until_true 180 "kubelet_volume_stats_$name" has_metric "$node" "kubelet_volume_stats_$name"
    done
}
has_metric() { # node, metric
    kubectl get --raw "/api/v1/nodes/$1/proxy/metrics" | grep "^$2{" | grep "namespace=\"$NAMESPACE\"" | grep -q 'persistentvolumeclaim="data"'
}

# A volume on the file system that exists, with a directory for each pod.
sub_dir() {
    volume=$(volume_of data)
    address=$(kubectl get persistentvolume "$volume" -o jsonpath='{.spec.csi.volumeAttributes.mgs-ip-address}')
    # shellcheck disable=SC2016 # the dollars are the driver's
    template='e2e/${pvc.metadata.name}/${pod.metadata.name}'
    apply <<YAML
apiVersion: v1
kind: PersistentVolume
metadata:
  name: $NAMESPACE-sub-dir
spec:
  capacity: {storage: $SIZE}
  accessModes: [ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  claimRef: {namespace: $NAMESPACE, name: sub-dir}
  csi:
    driver: $DRIVER
    volumeHandle: $NAMESPACE-sub-dir
    volumeAttributes:
      mgs-ip-address: "$address"
      fs-name: lustrefs
      sub-dir: "$template"
      csi.storage.k8s.io/pvc/name: sub-dir
YAML
    claim sub-dir '' ReadWriteMany "$NAMESPACE-sub-dir" | apply
    pod tenant sub-dir '' '' "$(beside first)" | apply
    wait_ready tenant
    in_pod tenant 'echo of-tenant >/data/mine'
    [ "$DATA" = pod ] || [ "$(in_pod first 'cat /data/e2e/sub-dir/tenant/mine')" = of-tenant ]
    remove_pods tenant
    k delete persistentvolumeclaim sub-dir --timeout=60s >/dev/null
    kubectl delete persistentvolume "$NAMESPACE-sub-dir" --timeout=60s >/dev/null
}

# ReadWriteOncePod: the second pod has a nodeName, without the scheduler, and still does not get the volume.
single_writer() {
    claim single "$CLASS" ReadWriteOncePod | apply
    wait_bound single
    pod writer single | apply
    wait_ready writer
    pod intruder single '' '' "nodeName: $(node_of writer)" | apply
    until_true 180 'an event that the second writer may not mount' has_event intruder 'Warning FailedMount'
    [ "$(k get pod intruder -o jsonpath='{.status.phase}')" = Pending ]
    remove_pods intruder writer
    k delete persistentvolumeclaim single --timeout="${READY}s" >/dev/null
}

pod_with_files() {
    pod leaver data '' '' "$(beside first)" | apply
    wait_ready leaver
    # shellcheck disable=SC2016 # for the shell in the pod
    in_pod leaver 'for i in 1 2 3; do mkdir -p "/data/left/$i" && echo x >"/data/left/$i/file"; done'
    remove_pods leaver
}

# The ResourceQuota of the examples, which limits cost.
quota() {
    apply <<YAML
apiVersion: v1
kind: ResourceQuota
metadata:
  name: one-file-system
spec:
  hard:
    $CLASS.storageclass.storage.k8s.io/persistentvolumeclaims: "1"
YAML
    until_true 60 'the quota counts' quota_counts
    if refusal=$(claim over "$CLASS" ReadWriteMany | k apply -f - 2>&1); then
        echo 'error: a claim over the quota was admitted' >&2
        return 1
    fi
    case $refusal in *'exceeded quota'*) ;; *) echo "$refusal" >&2; return 1 ;; esac
    k delete resourcequota one-file-system >/dev/null
}
quota_counts() { k get resourcequota one-file-system -o jsonpath='{.status.used}' | grep -q '"1"'; }

# The claim is deleted as soon as its creation has begun; a volume of it is deleted too.
delete_while_creating() {
    claim early "$CLASS" ReadWriteMany | apply
    until_true 60 'the creation begins' has_event early 'Normal Provisioning'
    k delete persistentvolumeclaim early --timeout="${READY}s" >/dev/null
    until_true "$READY" 'no volume of the deleted claim is left' no_volume_of early
}
no_volume_of() { ! kubectl get persistentvolumes -o jsonpath='{range .items[*]}{.spec.claimRef.namespace}/{.spec.claimRef.name}{"\n"}{end}' | grep -qx "$NAMESPACE/$1"; }

# Pods, claim, volume and mounts.
gone() {
    volume=$(volume_of data) node=$(node_of first)
    remove_pods first second
    driver=$(kubectl --namespace "$DRIVER_NAMESPACE" get pods -l app=csi-azurelustre-node --field-selector "spec.nodeName=$node" -o jsonpath='{.items[0].metadata.name}')
    if kubectl --namespace "$DRIVER_NAMESPACE" exec "$driver" -c azurelustre -- /azurelustre-csi doctor node 2>&1 | grep -F "$volume"; then
        echo "error: a mount of $volume is left on $node" >&2
        return 1
    fi
    k delete persistentvolumeclaim data --timeout="${READY}s" >/dev/null
    until_true "$READY" 'the volume is deleted' no_volume_of data
    kubectl delete storageclass "$CLASS" >/dev/null
}

clean_up() {
    kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout="${READY}s" >/dev/null || true
    kubectl delete storageclass "$CLASS" "$CLASS-wrong" --ignore-not-found >/dev/null || true
    kubectl delete persistentvolume "$NAMESPACE-sub-dir" --ignore-not-found >/dev/null || true
}

main() {
    [ "${1:-}" != --list ] || { printf '%s\n' "$STEPS"; exit 0; }
    kubectl create namespace "$NAMESPACE" >/dev/null
    begun=$(date +%s) passed=0
    for step in ${E2E_STEPS:-$STEPS}; do
        started=$(date +%s)
        # In a shell of its own with -e: in a condition sh ignores it, and a failed check in the middle would pass.
        code=0
        sh -eu "$0" --step "$step" || code=$?
        if [ "$code" -ne 0 ]; then
            printf '%-24s FAILED %4d s\n' "$step" $(($(date +%s) - started))
            explain
            clean_up
            printf '%d passed, 1 failed\n' "$passed"
            exit 1
        fi
        printf '%-24s ok     %4d s\n' "$step" $(($(date +%s) - started))
        passed=$((passed + 1))
    done
    clean_up
    printf '%d passed, 0 failed\n' "$passed"
    printf 'all steps in %d s\n' $(($(date +%s) - begun))
}

if [ "${1:-}" = --step ]; then
    "$2"
else
    main "$@"
fi
