{{/* Labels of objects. Never in selectors, and the version never in pod templates: it would restart every node pod. */}}
{{- define "azurelustre.labels" -}}
app.kubernetes.io/name: azurelustre-csi
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "azurelustre.driverName" -}}
{{ (.Values.csidriver).name | default .Values.driver.name }}
{{- end -}}

{{- define "azurelustre.kubeletPath" -}}
{{ coalesce .Values.node.kubeletPath (.Values.paths).kubelet "/var/lib/kubelet" | trimSuffix "/" }}
{{- end -}}

{{/* Whether an image with the simulator is needed. */}}
{{- define "azurelustre.simulated" -}}
{{- if or (eq .Values.driver.cloud "simulator") (eq .Values.driver.mounter "simulator") (eq .Values.node.setup.lnet "simulated") }}true{{ end -}}
{{- end -}}

{{/* Whether node pods install the Lustre client. Other mounters need none, unless LNet is simulated too. */}}
{{- define "azurelustre.nodeSetup" -}}
{{- $lustre := and (eq (include "azurelustre.mounter" .) "kernel") (not .Values.driver.mountFsType) -}}
{{- if and .Values.node.setup.enabled (or $lustre (eq .Values.node.setup.lnet "simulated")) }}true{{ end -}}
{{- end -}}

{{/* `jammy=V,noble=V,…`; versions of the Go driver's chart win, since only an administrator sets them. */}}
{{- define "azurelustre.clientVersions" -}}
{{- $pairs := list -}}
{{- range $release, $version := .Values.node.setup.clientVersion -}}
{{-   $client := (index $.Values.node $release | default dict).lustreClient | default dict -}}
{{-   if ne (empty $client.version) (empty $client.shaSuffix) -}}
{{-     fail (printf "node.%s.lustreClient needs both version and shaSuffix: give both, or node.setup.clientVersion.%s" $release $release) -}}
{{-   end -}}
{{-   if $client.version }}{{- $version = printf "%s-%s" $client.version $client.shaSuffix }}{{- end -}}
{{-   if $version }}{{- $pairs = append $pairs (printf "%s=%s" $release $version) }}{{- end -}}
{{- end -}}
{{ join "," $pairs }}
{{- end -}}

{{- define "azurelustre.mounter" -}}
{{ .Values.driver.mounter | default (ternary "simulator" "kernel" (eq .Values.driver.cloud "simulator")) }}
{{- end -}}

{{/* `registry/path:tag` or `registry/path@digest` of (dict "root" $ "image" {repository, tag, digest}). */}}
{{- define "azurelustre.image" -}}
{{- $path := .image.repository -}}
{{- with .root.Values.image.baseRepo -}}
{{-   $parts := splitList "/" $path -}}
{{-   if regexMatch "[.:]|^localhost$" (first $parts) -}}{{- $parts = rest $parts -}}{{- end -}}
{{-   $path = printf "%s/%s" (trimSuffix "/" .) (join "/" $parts | trimPrefix "/") -}}
{{- end -}}
{{- if .image.digest }}{{ $path }}@{{ .image.digest }}{{ else }}{{ $path }}:{{ .image.tag }}{{ end -}}
{{- end -}}

{{- define "azurelustre.driverImage" -}}
{{- $image := .Values.image -}}
{{- $tag := $image.tag | default (printf "v%s%s" .Chart.AppVersion (ternary "-simulator" "" (eq (include "azurelustre.simulated" .) "true"))) -}}
{{- include "azurelustre.image" (dict "root" . "image" (dict "repository" $image.repository "tag" $tag "digest" $image.digest)) -}}
{{- end -}}

{{/* `image` and `imagePullPolicy` of the sidecar (dict "root" $ "name" name). */}}
{{- define "azurelustre.sidecarImage" -}}
{{- $sidecar := index .root.Values.sidecars .name -}}
image: {{ include "azurelustre.image" (dict "root" .root "image" $sidecar) | quote }}
imagePullPolicy: {{ coalesce .root.Values.sidecars.pullPolicy .root.Values.image.pullPolicy }}
{{- end -}}

{{/* The list of pull secrets, from names or objects. */}}
{{- define "azurelustre.pullSecrets" -}}
{{- with .Values.imagePullSecrets -}}
imagePullSecrets:
{{- range . }}
  - name: {{ kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name") }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Client id for workload identity, by our name or by that of the Go driver's chart. */}}
{{- define "azurelustre.clientID" -}}
{{ .Values.workloadIdentity.clientID | default (ternary (.Values.IdentityClientId | default "") "" (eq (.Values.IsWorkloadIdentityEnabled | default "Disabled") "Enabled")) }}
{{- end -}}

{{- define "azurelustre.tenantID" -}}
{{ .Values.workloadIdentity.tenantID | default (ternary (.Values.IdentityTenantId | default "") "" (eq (.Values.IsWorkloadIdentityEnabled | default "Disabled") "Enabled")) }}
{{- end -}}

{{/* The keys of azure.json that were given, as YAML; empty where none was. */}}
{{- define "azurelustre.azureSettings" -}}
{{- $settings := dict -}}
{{- range $key, $value := omit .Values.azure "hostFile" "existingSecret" "credential" -}}
{{-   if $value }}{{- $_ := set $settings $key $value }}{{- end -}}
{{- end -}}
{{- if $settings }}{{ toYaml $settings }}{{ end -}}
{{- end -}}

{{/* Where the controller's cloud settings come from: `simulator`, `values`, `secret` or `host`. Mixtures are rejected. */}}
{{- define "azurelustre.settingsForm" -}}
{{- $azure := .Values.azure -}}
{{- $settings := include "azurelustre.azureSettings" . -}}
{{- $client := include "azurelustre.clientID" . -}}
{{- if and (eq (.Values.IsWorkloadIdentityEnabled | default "Disabled") "Enabled") (not $client) -}}
{{-   fail "IsWorkloadIdentityEnabled is Enabled but IdentityClientId is empty: set workloadIdentity.clientID" -}}
{{- end -}}
{{- if eq .Values.driver.cloud "simulator" -}}
{{-   if or $settings $client $azure.existingSecret $azure.hostFile -}}
{{-     fail "driver.cloud=simulator takes nothing from Azure: remove azure.* and workloadIdentity.*, or set driver.cloud=arm" -}}
{{-   end -}}
simulator
{{- else if or $settings $client $azure.existingSecret -}}
{{-   if $azure.hostFile -}}
{{-     fail "azure.hostFile is for a controller that reads the node's azure.json as root; it cannot be combined with azure.*, workloadIdentity.* or azure.existingSecret: remove one of them" -}}
{{-   end -}}
{{-   if and $azure.existingSecret (eq $azure.credential "cloudConfig") -}}
{{-     if or $settings $client -}}
{{-       fail "azure.credential=cloudConfig means that the Secret holds all settings: remove the other keys of azure and workloadIdentity.*" -}}
{{-     end -}}
secret
{{-   else -}}
{{-     if not $azure.subscriptionId -}}
{{-       fail "azure.subscriptionId is missing: with workloadIdentity.*, azure.existingSecret or any key of azure the controller does not read the node's azure.json, so give azure.subscriptionId, azure.resourceGroup and azure.location (az account show; az aks show)" -}}
{{-     end -}}
{{-     $credentials := list -}}
{{-     if $client }}{{- $credentials = append $credentials "workloadIdentity.clientID" }}{{- end -}}
{{-     if $azure.existingSecret }}{{- $credentials = append $credentials "azure.existingSecret" }}{{- end -}}
{{-     if $azure.useManagedIdentityExtension }}{{- $credentials = append $credentials "azure.useManagedIdentityExtension" }}{{- end -}}
{{-     if ne (len $credentials) 1 -}}
{{-       fail (printf "credentials for Azure: set one of workloadIdentity.clientID, azure.existingSecret and azure.useManagedIdentityExtension; set now: %s" (join ", " $credentials | default "none")) -}}
{{-     end -}}
{{-     if and $azure.existingSecret (or (not $azure.aadClientId) (not $azure.tenantId)) -}}
{{-       fail "azure.existingSecret holds the credential of an application: set azure.aadClientId and azure.tenantId too" -}}
{{-     end -}}
{{-     if and .Values.workloadIdentity.projectToken (not (or (include "azurelustre.tenantID" .) $azure.tenantId)) -}}
{{-       fail "workloadIdentity.projectToken needs the tenant, which the webhook would give: set workloadIdentity.tenantID" -}}
{{-     end -}}
values
{{-   end -}}
{{- else -}}
host
{{- end -}}
{{- end -}}

{{/* Whether the webhook of workload identity is to inject the token. */}}
{{- define "azurelustre.webhook" -}}
{{- if and (include "azurelustre.clientID" .) (not .Values.workloadIdentity.projectToken) }}true{{ end -}}
{{- end -}}

{{/* Path of the node's azure.json. */}}
{{- define "azurelustre.hostFile" -}}
{{- $folder := (.Values.paths).kubernetes | default "/etc/kubernetes" | trimSuffix "/" -}}
{{ .Values.azure.hostFile | default (printf "%s/azure.json" $folder) }}
{{- end -}}

{{/* Flags that controller and node share. */}}
{{- define "azurelustre.driverArgs" -}}
- --endpoint=unix:///csi/csi.sock
- --drivername={{ include "azurelustre.driverName" . }}
{{- with .Values.driver.logLevel }}
- --log-level={{ . }}
{{- end }}
{{- with .Values.driver.logFormat }}
- --log-format={{ . }}
{{- end }}
{{- end -}}

{{/* Security context of every container without further needs. */}}
{{- define "azurelustre.restricted" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Probes by HTTP and TCP; on the host's network the endpoints listen on loopback only. */}}
{{- define "azurelustre.httpGet" -}}
httpGet:
  {{- if .local }}
  host: localhost
  {{- end }}
  path: {{ .path }}
  port: {{ .port }}
{{- end -}}

{{- define "azurelustre.tcpSocket" -}}
tcpSocket:
  {{- if .local }}
  host: localhost
  {{- end }}
  port: {{ .port }}
{{- end -}}
