#!/usr/bin/env bash
# Removes the driver from a cluster, including the CSIDriver object, which no other operation deletes. Fails while volumes
# of the driver exist: without the driver they can neither be unmounted nor deleted, and their file systems stay billed.
set -euo pipefail

usage() {
    cat <<'USAGE'
Usage: uninstall-driver.sh [options]

  --namespace N   namespace of the driver (default: kube-system)
  --dry-run       print the commands that would run; change nothing
USAGE
}

DRIVER=azurelustre.csi.azure.com
NODE=csi-azurelustre-node
CONTROLLER=csi-azurelustre-controller
namespace=kube-system dry_run=no

say() { printf '%s\n' "$*"; }
fail() { # message, hint...
    printf 'error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
    exit 1
}
run() {
    if [ "$dry_run" = yes ]; then say "would run: $*"; else "$@"; fi
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
            --namespace) [ $# -ge 2 ] || { usage >&2; exit 2; }; namespace=$2; shift ;;
            --dry-run) dry_run=yes ;;
            --help | -h) usage; exit 0 ;;
            *) printf 'error: unknown argument: %s\n' "$1" >&2; usage >&2; exit 2 ;;
        esac
        shift
    done
}

# Of every phase: a Released volume still has its file system.
refuse_volumes() {
    local volumes name phase policy handle amlfs created group billed=''
    volumes=$(kubectl get persistentvolumes -o jsonpath="{range .items[?(@.spec.csi.driver==\"$DRIVER\")]}{.metadata.name}|{.status.phase}|{.spec.persistentVolumeReclaimPolicy}|{.spec.csi.volumeHandle}{\"\n\"}{end}")
    [ -n "$volumes" ] || return 0
    while IFS='|' read -r name phase policy handle; do
        say "  PersistentVolume $name ($phase, reclaim policy $policy)"
        # {name}#{fs-name}#{mgs-ip}#{sub-dir}#{t or f}#{resource-group}; t: created by the driver.
        IFS='#' read -r amlfs _ _ _ created group <<<"$handle"
        [ "$created" != t ] || billed="$billed  AMLFS $amlfs in resource group $group"$'\n'
    done <<<"$volumes"
    [ -z "$billed" ] || printf 'file systems that the driver created and that are billed:\n%s' "$billed"
    fail "volumes of the driver exist" \
        "delete the claims (reclaim policy Delete removes their file systems), then the remaining volumes, and run this script again" \
        "a volume with reclaim policy Retain: keep its file system by deleting the PersistentVolume alone, or delete it in Azure too"
}

# A pending claim may have a file system that has no PersistentVolume yet.
refuse_creations() {
    local claims class
    claims=$(for class in $(kubectl get storageclasses -o jsonpath="{range .items[?(@.provisioner==\"$DRIVER\")]}{.metadata.name} {end}"); do
        kubectl get persistentvolumeclaims --all-namespaces -o jsonpath="{range .items[?(@.spec.storageClassName==\"$class\")]}{.metadata.namespace}/{.metadata.name} {.status.phase}{\"\n\"}{end}"
    done | sed -n 's/ Pending$//p')
    [ -z "$claims" ] || fail "claims are pending, and a file system may be in creation for each: ${claims//$'\n'/ }" \
        "wait until they are Bound, then delete them; or delete them and find file systems named pvc-<uid of the claim>: az amlfs list"
}

uninstall_workloads() {
    local release
    release=$(kubectl get "daemonset/$NODE" --namespace "$namespace" --ignore-not-found -o jsonpath='{.metadata.annotations.meta\.helm\.sh/release-name}')
    if [ -n "$release" ]; then
        command -v helm >/dev/null || fail "the driver was installed by the Helm release $release" "install helm, then run this script again"
        run helm uninstall "$release" --namespace "$namespace" --wait
    fi
    # First the workloads, then their roles and service accounts.
    run kubectl delete "deployment/$CONTROLLER" "daemonset/$NODE" "poddisruptionbudget/$CONTROLLER" --namespace "$namespace" --ignore-not-found
    [ -z "$(kubectl get pods --namespace "$namespace" -l "app in ($CONTROLLER,$NODE)" -o name)" ] ||
        run kubectl wait pods --namespace "$namespace" -l "app in ($CONTROLLER,$NODE)" --for=delete --timeout=3m
    run kubectl delete role,rolebinding azurelustre-csi-controller-leases --namespace "$namespace" --ignore-not-found
    run kubectl delete clusterrole,clusterrolebinding azurelustre-csi-controller azurelustre-csi-node --ignore-not-found
    run kubectl delete serviceaccount "$CONTROLLER-sa" "$NODE-sa" --namespace "$namespace" --ignore-not-found
    run kubectl delete lease "${DRIVER//./-}" --namespace "$namespace" --ignore-not-found
}

main() {
    parse "$@"
    command -v kubectl >/dev/null || fail "kubectl is missing" "https://kubernetes.io/docs/tasks/tools"
    kubectl get --raw /version >/dev/null || fail "the cluster does not respond"
    refuse_volumes
    refuse_creations
    uninstall_workloads
    # Between the check and the end of the provisioner a claim may have been bound.
    refuse_volumes
    run kubectl delete "csidriver/$DRIVER" --ignore-not-found
    say "the driver is removed"
}

main "$@"
