#!/usr/bin/env bash
# Installs or upgrades the driver, or takes over from the Go driver (kubernetes-sigs/azurelustre-csi-driver) of any
# version: volumes, mounts and running pods stay. From a clone, or of a release:
#   curl -fsSL https://github.com/azurelustre-csi/azurelustre-csi/releases/latest/download/install-driver.sh | bash
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: install-driver.sh [options] [-- arguments for helm]

  --version V         the release to install (default: the one that this script belongs to)
  --local             from the clone that this script is in, not from a release
  --namespace N       namespace of the driver (default: kube-system; a take-over has to stay in the old driver's namespace)
  --helm              install the chart, with the arguments after `--` (needs helm 3.17 or newer); default: manifests
  --image REPO:TAG    image of the driver, for mirrors; with --helm give values instead
  --accept            continue if the check of existing volumes and classes has findings
  --lustre-stays      with node.setup.enabled=false: the nodes keep or reload the Lustre modules by themselves when the Go
                      driver's pods end
  --timeout TIME      time limit of the wait for pods (default: 10m)
  --dry-run           print the commands that would run; change nothing
USAGE
}

DRIVER=azurelustre.csi.azure.com
REPOSITORY=https://github.com/azurelustre-csi/azurelustre-csi
CHART_OCI=oci://ghcr.io/azurelustre-csi/charts/azurelustre-csi
VERSION=0.1.0
NODE=csi-azurelustre-node
CONTROLLER=csi-azurelustre-controller

namespace=kube-system local_files=no method=manifests image='' accept=no lustre_stays=no timeout=10m dry_run=no
helm_arguments=() chart_arguments=()
work=''

say() { printf '%s\n' "$*"; }
warn() { printf 'warning: %s\n' "$*" >&2; }
fail() { # message, hint...
    printf 'error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
    exit 1
}

# Runs a command that changes the cluster; a dry run prints it.
run() {
    if [ "$dry_run" = yes ]; then
        say "would run: $*"
    else
        "$@"
    fi
}

need_value() { [ $# -ge 2 ] || { usage >&2; exit 2; }; }

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            --version) need_value "$@"; VERSION=${2#v}; shift ;;
            --namespace) need_value "$@"; namespace=$2; shift ;;
            --image) need_value "$@"; image=$2; shift ;;
            --timeout) need_value "$@"; timeout=$2; shift ;;
            --local) local_files=yes ;;
            --helm) method=helm ;;
            --accept) accept=yes ;;
            --lustre-stays) lustre_stays=yes ;;
            --dry-run) dry_run=yes ;;
            --help | -h) usage; exit 0 ;;
            --) shift; helm_arguments=("$@"); break ;;
            *) printf 'error: unknown argument: %s\n' "$1" >&2; usage >&2; exit 2 ;;
        esac
        shift
    done
    case " ${helm_arguments[*]-} " in *mountFsType=*) lustre_stays=yes ;; esac
    [ $method = helm ] || [ ${#helm_arguments[@]} -eq 0 ] || fail "arguments after -- are helm's" "add --helm"
    [ $method = manifests ] || [ -z "$image" ] || fail "--image is for manifests" "give -- --set image.repository=…,image.tag=…"
}

prepare() {
    command -v kubectl >/dev/null || fail "kubectl is missing" "https://kubernetes.io/docs/tasks/tools"
    [ $method = manifests ] || command -v helm >/dev/null || fail "helm is missing" "install helm 3.17 or newer, or omit --helm"
    kubectl get --raw /version >/dev/null || fail "the cluster does not respond" "az aks get-credentials --resource-group GROUP --name CLUSTER"
    [ "$(kubectl auth can-i create clusterroles.rbac.authorization.k8s.io 2>/dev/null)" = yes ] ||
        fail "this user may not create ClusterRoles" "use an administrator of the cluster"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
}

# The directory of this script in a clone; empty if the script was piped to bash.
folder_of_clone() {
    (cd "$(dirname "${BASH_SOURCE[0]:-/}")" && pwd)
}

# Sets `chart_arguments`, which name the chart.
name_chart() {
    if [ $local_files = yes ]; then
        chart_arguments=("$(folder_of_clone)/helm/azurelustre-csi")
    else
        chart_arguments=("$CHART_OCI" --version "$VERSION")
    fi
}

# Renders the objects to install into one file, with the given namespace and image or values. Changes nothing.
render() {
    local raw=$work/raw.yaml picture=''
    if [ $method = helm ]; then
        name_chart
        helm template azurelustre-csi "${chart_arguments[@]}" --namespace "$namespace" ${helm_arguments[@]+"${helm_arguments[@]}"} >"$work/manifests.yaml" ||
            fail "the chart does not render with these values" "see above"
        return
    fi
    if [ $local_files = yes ]; then
        [ -d "$(folder_of_clone)/manifests" ] || fail "no directory manifests beside this script" "omit --local"
        kubectl kustomize "$(folder_of_clone)/manifests" >"$raw"
    else
        curl -fsSL "$REPOSITORY/releases/download/v$VERSION/azurelustre-csi.yaml" -o "$raw" ||
            fail "release v$VERSION could not be fetched" "name an existing one with --version, or use a clone with --local"
    fi
    [ -z "$image" ] || picture="s|^\( *image:\) \"*ghcr.io/azurelustre-csi/azurelustre-csi[:@].*\$|\1 $image|"
    sed -e "s|^\( *namespace:\) kube-system\$|\1 $namespace|" -e "$picture" "$raw" >"$work/manifests.yaml"
}

# Lines `kind|namespace|name|ours|release|release namespace|selector` of every workload of this driver or the Go driver.
workloads() {
    local kind app
    for kind in daemonset deployment; do
        app=$NODE
        [ $kind = daemonset ] || app=$CONTROLLER
        kubectl get $kind --all-namespaces -o jsonpath="{range .items[?(@.spec.selector.matchLabels.app==\"$app\")]}$kind|{.metadata.namespace}|{.metadata.name}|{.metadata.labels.app\.kubernetes\.io/name}|{.metadata.annotations.meta\.helm\.sh/release-name}|{.metadata.annotations.meta\.helm\.sh/release-namespace}|{.spec.selector.matchLabels}{\"\n\"}{end}"
    done
}

refuse_extension() {
    local found
    kubectl get crd extensionconfigs.clusterconfig.azure.com >/dev/null 2>&1 || return 0
    found=$(kubectl get extensionconfigs.clusterconfig.azure.com --all-namespaces -o jsonpath='{range .items[*]}{.metadata.name} {.spec.extensionType}{"\n"}{end}' |
        grep -i 'microsoft\.azuremanagedlustre' || true)
    [ -z "$found" ] || fail "the AKS extension ${found%% *} installs the Go driver here, and its agent restores removed objects" \
        "az aks update --resource-group GROUP --name CLUSTER --disable-azure-managed-lustre" \
        "or: az k8s-extension delete --cluster-type managedClusters --cluster-name CLUSTER --resource-group GROUP --name ${found%% *}" \
        "stop creating and deleting claims until this script has run again; pods that use volumes may run on"
}

# Detects an installed driver: none, this one, or the Go driver.
detect() {
    refuse_extension
    workloads >"$work/workloads"
    awk -F'|' '$4 == "azurelustre-csi"' "$work/workloads" >"$work/ours"
    awk -F'|' '$4 != "azurelustre-csi" && NF' "$work/workloads" >"$work/old"
    { awk -F'|' '$5 != "" {print $5 "|" $6}' "$work/old" && releases_of_leftovers | awk -F'|' '$1 != "" && $3 != "azurelustre-csi" {print $1 "|" $2}'; } |
        sort -u >"$work/releases"
    local line place release
    while IFS='|' read -r _ place _ _ release _; do
        [ "$place" = "$namespace" ] || fail "the driver is in namespace $place already, and two copies cannot share a node" \
            "upgrade it there: --namespace $place"
        [ -z "$release" ] || [ $method = helm ] || fail "the driver was installed by the Helm release $release" \
            "upgrade it by Helm: install-driver.sh --helm --namespace $place"
    done <"$work/ours"
    while IFS='|' read -r _ place _; do
        [ "$place" = "$namespace" ] || fail "the Go driver runs in namespace $place; its lease and the trust of federated credentials belong to that namespace" \
            "take over there: --namespace $place"
    done <"$work/old"
    if [ -s "$work/old" ]; then
        say "found the Go driver:"
        while IFS='|' read -r line place release _; do say "  $line $place/$release"; done <"$work/old"
        while IFS='|' read -r release place; do [ -z "$release" ] || say "  Helm release $release in $place"; done <"$work/releases"
    elif [ -s "$work/ours" ]; then
        say "found this driver; upgrading it"
    fi
}

# Helm releases of the Go driver that have left objects for our service accounts or pods, also where a take-over was
# interrupted after their workloads were deleted.
releases_of_leftovers() {
    # shellcheck disable=SC2016 # the dollars are the template's
    kubectl get clusterrolebindings -o go-template='{{range .items}}{{$meta := .metadata}}{{range .subjects}}{{if or (eq .name "csi-azurelustre-node-sa") (eq .name "csi-azurelustre-controller-sa")}}{{with $meta.annotations}}{{with index . "meta.helm.sh/release-name"}}{{.}}|{{index $meta.annotations "meta.helm.sh/release-namespace"}}|{{with $meta.labels}}{{index . "app.kubernetes.io/name"}}{{end}}{{"\n"}}{{end}}{{end}}{{end}}{{end}}{{end}}' &&
        kubectl get poddisruptionbudgets --namespace "$namespace" -o jsonpath="{range .items[?(@.spec.selector.matchLabels.app==\"$CONTROLLER\")]}{.metadata.annotations.meta\.helm\.sh/release-name}|{.metadata.annotations.meta\.helm\.sh/release-namespace}|{.metadata.labels.app\.kubernetes\.io/name}{\"\n\"}{end}"
}

# The driver's own rules over every volume and class that names it, in a pod without rights, token or network use.
check_volumes() {
    local mine=0 checked=0 code=0 pod picture
    mine=$(kubectl get persistentvolumes -o jsonpath="{range .items[?(@.spec.csi.driver==\"$DRIVER\")]}{.metadata.name}{\"\n\"}{end}" | grep -c . || true)
    checked=$(kubectl get storageclasses -o jsonpath="{range .items[?(@.provisioner==\"$DRIVER\")]}{.metadata.name}{\"\n\"}{end}" | grep -c . || true)
    [ $((mine + checked)) -gt 0 ] || return 0
    say "checking $mine volumes and $checked classes by the new driver's rules"
    [ "$dry_run" = no ] || { say "would run a pod of the driver's image on the output of kubectl get persistentvolumes,storageclasses"; return 0; }
    picture=$(sed -n 's|^ *image: *"\{0,1\}\([^" ]*azurelustre-csi[:@][^" ]*\)"\{0,1\}$|\1|p' "$work/manifests.yaml" | head -n 1)
    [ -n "$picture" ] || fail "the driver's image is not named in what would be installed"
    pod=azurelustre-csi-check-$(date +%s)
    kubectl get persistentvolumes,storageclasses -o json | kubectl run "$pod" --namespace "$namespace" --image "$picture" --restart=Never --quiet -i --rm \
        --pod-running-timeout=3m --overrides='{"spec":{"automountServiceAccountToken":false,"enableServiceLinks":false,"nodeSelector":{"kubernetes.io/os":"linux"},"securityContext":{"runAsNonRoot":true,"runAsUser":65532,"seccompProfile":{"type":"RuntimeDefault"}}}}' \
        -- check-objects - >"$work/findings" 2>&1 || code=$?
    # `--rm` does not, where the pod never ran.
    kubectl delete pod "$pod" --namespace "$namespace" --ignore-not-found --wait=false >/dev/null
    sed 's/^/  /' "$work/findings"
    [ $code -ne 0 ] || return 0
    [ $accept = no ] || { warn "continuing because of --accept"; return 0; }
    fail "the new driver would reject some of these objects, or the check could not run (exit code $code); nothing was changed" \
        "correct the listed objects, or continue with --accept: existing mounts stay, new mounts of the listed volumes fail until they are corrected"
}

# Names of nodes with a pod of the Go driver but no pod that uses one of its volumes: there the modules go with that pod.
idle_nodes() {
    kubectl get persistentvolumes -o jsonpath="{range .items[?(@.spec.csi.driver==\"$DRIVER\")]}V {.spec.claimRef.namespace}/{.spec.claimRef.name}{\"\n\"}{end}"
    # shellcheck disable=SC2016 # the dollars are the template's
    kubectl get pods --all-namespaces -o go-template='{{range .items}}{{$pod := .metadata}}{{$node := .spec.nodeName}}{{if $node}}{{if and (ne .status.phase "Succeeded") (ne .status.phase "Failed")}}{{range .spec.volumes}}{{with .persistentVolumeClaim}}P {{$node}} {{$pod.namespace}}/{{.claimName}}{{"\n"}}{{end}}{{if .ephemeral}}P {{$node}} {{$pod.namespace}}/{{$pod.name}}-{{.name}}{{"\n"}}{{end}}{{end}}{{end}}{{end}}{{end}}'
    kubectl get pods --namespace "$namespace" -l "app=$NODE" -o jsonpath='{range .items[*]}N {.spec.nodeName}{"\n"}{end}'
}

# The Go driver unloads the Lustre modules when its pod ends, except under live mounts; node-setup loads them again.
check_modules() {
    [ -s "$work/old" ] && [ $lustre_stays = no ] || return 0
    ! grep -q '^ *-\{0,1\} *name: *node-setup$' "$work/manifests.yaml" || return 0
    local idle
    idle=$(idle_nodes | awk '$1 == "V" {mine[$2] = 1} $1 == "P" && ($3 in mine) {busy[$2] = 1} $1 == "N" && $2 && !($2 in busy) {print $2}' | sort -u)
    [ -z "$idle" ] || fail "on these nodes no pod uses a volume, so the Go driver unloads the Lustre modules when its pod ends, and without node-setup they are not loaded again: ${idle//$'\n'/ }" \
        "leave node.setup.enabled=true, or load the modules by the node image or a DaemonSet and add --lustre-stays"
}

save_old_objects() {
    local folder kind place name release
    [ -s "$work/old" ] || return 0
    folder=azurelustre-csi-before-$(date +%Y%m%d-%H%M%S)
    say "saving the existing objects into $folder"
    [ "$dry_run" = no ] || return 0
    (umask 077 && mkdir "$folder")
    kubectl get csidrivers,persistentvolumes,storageclasses -o yaml >"$folder/volumes.yaml"
    kubectl get clusterroles,clusterrolebindings -o yaml >"$folder/rbac.yaml"
    while IFS='|' read -r kind place name _; do
        kubectl get "$kind" "$name" --namespace "$place" -o yaml >"$folder/$kind-$name.yaml"
    done <"$work/old"
    while IFS='|' read -r release place; do
        kubectl get secrets --namespace "$place" -l "owner=helm,name=$release" -o yaml >"$folder/helm-release-$release.yaml"
    done <"$work/releases"
}

# A workload that `kubectl apply` can bring to our form: same name and selector, and made by apply, which then also removes
# what ours does not mention (preStop hooks, privileged containers).
fits_in_place() { # kind, name, selector
    [ $method = manifests ] || return 1
    [ "$2" = $NODE ] || [ "$2" = $CONTROLLER ] || return 1
    [ "$3" = "{\"app\":\"$2\"}" ] || return 1
    [ -n "$(kubectl get "$1" "$2" --namespace "$namespace" -o jsonpath='{.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}')" ]
}

# Deletes the old workloads but not their pods, and forgets the Helm release without letting Helm delete CSIDriver.
release_old_workloads() {
    local kind place name selector release
    while IFS='|' read -r kind place name _ _ _ selector; do
        fits_in_place "$kind" "$name" "$selector" && continue
        run kubectl delete "$kind" "$name" --namespace "$place" --cascade=orphan
    done <"$work/old"
    while IFS='|' read -r release place; do
        run kubectl delete secrets --namespace "$place" -l "owner=helm,name=$release"
        [ $method = helm ] || disown "$release"
    done <"$work/releases"
}

# Objects that ours keeps under the same name no longer belong to the old Helm release.
disown() { # release
    local object
    for object in "csidriver/$DRIVER" "serviceaccount/$CONTROLLER-sa" "serviceaccount/$NODE-sa"; do
        kubectl get "$object" --namespace "$namespace" >/dev/null 2>&1 || continue
        run kubectl annotate "$object" --namespace "$namespace" meta.helm.sh/release-name- meta.helm.sh/release-namespace-
        run kubectl label "$object" --namespace "$namespace" app.kubernetes.io/managed-by-
    done
}

install() {
    kubectl get namespace "$namespace" >/dev/null 2>&1 || run kubectl create namespace "$namespace"
    # Orphans of this run, or of one that was interrupted.
    kubectl get pods --namespace "$namespace" -l "app=$NODE" -o name >"$work/before"
    if [ $method = manifests ]; then
        run kubectl apply -f "$work/manifests.yaml" ||
            fail "the manifests were not applied" "the old pods still run; correct the cause and run this script again"
        return
    fi
    # Helm 4 applies on the server's side and stops where another tool, as kubectl, had set a field.
    helm upgrade --help | grep -q -- --force-conflicts && chart_arguments+=(--force-conflicts)
    run helm upgrade --install azurelustre-csi "${chart_arguments[@]}" --namespace "$namespace" --take-ownership ${helm_arguments[@]+"${helm_arguments[@]}"} ||
        fail "the chart was not installed" "the old pods still run; correct the cause and run this script again"
}

# The new DaemonSet takes adopted pods for its own newest ones, because it compares their label pod-template-generation
# first; without the label it compares revisions, and the rolling update replaces them. After the adoption, not before. To
# pods that the DaemonSet made itself it makes no difference.
replace_adopted_pods() {
    local pod owner tries
    while read -r pod; do
        [ "$dry_run" = no ] || { say "would run: kubectl label $pod pod-template-generation-"; continue; }
        for tries in $(seq 60); do
            owner=$(kubectl get "$pod" --namespace "$namespace" --ignore-not-found -o jsonpath='{.metadata.name}|{.metadata.ownerReferences[0].name}')
            [ -n "$owner" ] && [ "$owner" != "${pod#pod/}|$NODE" ] || break
            [ "$tries" -lt 60 ] || warn "$pod was not adopted within a minute; if it stays, delete it"
            sleep 1
        done
        # A pod that was deleted meanwhile needs no label.
        [ -z "$owner" ] || kubectl label "$pod" --namespace "$namespace" pod-template-generation- >/dev/null || true
    done <"$work/before"
}

# Objects of the Go driver that ours does not have. Bindings first: they grant reading every Secret to our service accounts.
delete_leftovers() {
    run kubectl delete clusterrolebinding --ignore-not-found csi-azurelustre-controller-secret-binding csi-azurelustre-node-secret-binding \
        azurelustre-csi-provisioner-binding csi-azurelustre-csi-provisioner-binding csi-azurelustre-node-binding
    run kubectl delete clusterrole --ignore-not-found csi-azurelustre-controller-secret-role csi-azurelustre-node-secret-role \
        azurelustre-external-provisioner-role csi-azurelustre-external-provisioner-role csi-azurelustre-node-role
    run kubectl delete configmap --namespace "$namespace" --ignore-not-found csi-azurelustre-entrypoint
    local release kind object
    while IFS='|' read -r release _; do
        for kind in clusterrolebinding rolebinding clusterrole role poddisruptionbudget configmap; do
            kubectl get "$kind" --namespace "$namespace" -o jsonpath="{range .items[?(@.metadata.annotations.meta\.helm\.sh/release-name==\"$release\")]}{.metadata.labels.app\.kubernetes\.io/name}|{.metadata.name}{\"\n\"}{end}" |
                sed -n '/^azurelustre-csi|/!s/^[^|]*|//p' >"$work/leftovers"
            while read -r object; do run kubectl delete "$kind" "$object" --namespace "$namespace" --ignore-not-found; done <"$work/leftovers"
        done
    done <"$work/releases"
}

wait_for_pods() {
    [ "$dry_run" = no ] || return 0
    kubectl get "deployment/$CONTROLLER" --namespace "$namespace" >/dev/null 2>&1 &&
        { kubectl rollout status "deployment/$CONTROLLER" --namespace "$namespace" --timeout "$timeout" || warn "the controller is not ready yet"; }
    kubectl rollout status "daemonset/$NODE" --namespace "$namespace" --timeout "$timeout" || warn "not every node is ready yet"
}

# The termination message of a failed node-setup in one line.
setup_failure() { # pod
    kubectl get pod "$1" --namespace "$namespace" --ignore-not-found \
        -o jsonpath='{.status.initContainerStatuses[?(@.name=="node-setup")].lastState.terminated.message}{" "}{.status.initContainerStatuses[?(@.name=="node-setup")].state.terminated.message}' |
        tr '\n' ' ' | sed 's/  */ /g;s/^ //;s/ $//;/./s/$/; /'
}

# The reason why this node has no ready driver.
reason() { # node, os, os-sku-effective, pod, phase, waiting
    if [ -z "$4" ]; then
        [ "$2" = linux ] || { say "no pod: operating system ${2:-unknown}"; return; }
        say "no pod: os-sku-effective=${3:-none}, taints: $(kubectl get node "$1" -o jsonpath='{.spec.taints[*].key}')"
    elif [ "$5" != Running ] || [ -n "$6" ]; then
        say "pod $4 is $5 ($(tr ' ' '\n' <<<"$6" | sort -u | paste -sd ' ')): $(setup_failure "$4")kubectl describe pod $4 --namespace $namespace"
    else
        say "pod $4 runs but is not ready: kubectl exec --namespace $namespace $4 -c azurelustre -- /azurelustre-csi doctor node"
    fi
}

report() {
    local ready=0 missing=0 node os sku registered pod phase is_ready waiting
    [ "$dry_run" = no ] || return 0
    kubectl get nodes -o jsonpath='{range .items[*]}{.metadata.name}|{.metadata.labels.kubernetes\.io/os}|{.metadata.labels.kubernetes\.azure\.com/os-sku-effective}{"\n"}{end}' >"$work/nodes"
    while IFS='|' read -r node os sku; do
        # No filter: the list is null on a node without any CSI driver, which a filter of kubectl takes for an error.
        registered=$(kubectl get csinode "$node" --ignore-not-found -o jsonpath='{.spec.drivers[*].name}' | tr ' ' '\n' | grep -Fx "$DRIVER" || true)
        kubectl get pods --namespace "$namespace" -l "app=$NODE" --field-selector "spec.nodeName=$node" \
            -o jsonpath='{range .items[*]}{.metadata.name}|{.status.phase}|{.status.containerStatuses[?(@.name=="azurelustre")].ready}|{.status.containerStatuses[*].state.waiting.reason}{"\n"}{end}' >"$work/pod"
        pod='' phase='' is_ready='' waiting=''
        IFS='|' read -r pod phase is_ready waiting <"$work/pod" || true
        if [ -n "$registered" ] && [ "$is_ready" = true ]; then
            ready=$((ready + 1))
        else
            missing=$((missing + 1))
            say "  $node: $(reason "$node" "$os" "$sku" "$pod" "$phase" "$waiting")"
        fi
    done <"$work/nodes"
    say "driver ready on $ready nodes, not on $missing"
}

main() {
    parse "$@"
    prepare
    detect
    render
    check_volumes
    check_modules
    save_old_objects
    release_old_workloads
    install
    replace_adopted_pods
    wait_for_pods
    delete_leftovers
    report
}

main "$@"
