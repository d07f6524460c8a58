{{- define "sod.name" -}}
{{- if contains "triton-sod" .Release.Name }}{{ .Release.Name | replace "." "-" | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-triton-sod" (.Release.Name | replace "." "-") | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "sod.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "sod.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "sod.name" .) }}
{{- end }}

{{- /* Labels that select the pods of a component: (list $ "gateway") */ -}}
{{- define "sod.selector" -}}
app.kubernetes.io/name: triton-sod
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "sod.labels" -}}
{{ include "sod.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{- define "sod.gracePeriod" -}}
{{ add .Values.drain.delay .Values.drain.timeout .Values.drain.margin }}
{{- end }}

{{- define "sod.scheme" -}}
{{ ternary "HTTPS" "HTTP" (ne .Values.tls.existingSecret "") }}
{{- end }}

{{- /* Bytes of /dev/shm in MiB: each stage of a model begins with 32 MiB and grows with large images. */ -}}
{{- define "sod.sharedMemory" -}}
{{- if .Values.sharedMemory.size }}{{ .Values.sharedMemory.size }}
{{- else -}}
{{- $size := 0 }}
{{- range .Values.servedModels | default (list "PP-YOLOE_plus_SOD-S" "PP-YOLOE_plus_SOD-L" "PP-YOLOE_plus_SOD-largesize-L") }}
{{- $size = add $size (ternary 512 128 (contains "largesize" .)) }}
{{- end }}
{{- max 256 $size }}Mi
{{- end }}
{{- end }}

{{- define "sod.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
serviceAccountName: {{ include "sod.serviceAccount" . }}
terminationGracePeriodSeconds: {{ include "sod.gracePeriod" . }}
securityContext:
  runAsNonRoot: true
  {{- if not (kindIs "invalid" .Values.runAsUser) }}
  runAsUser: {{ int .Values.runAsUser }}
  runAsGroup: {{ int .Values.runAsUser }}
  fsGroup: {{ int .Values.runAsUser }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sod.spread" -}}
{{- $selector := include "sod.selector" . }}
{{- with (index . 0).Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml . | nindent 4 }}
    labelSelector:
      matchLabels: {{- $selector | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "sod.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "sod.environment" -}}
envFrom:
  - configMapRef:
      name: {{ include "sod.name" . }}
  {{- if or .Values.apiKeys.value .Values.rateLimitStorage.value }}
  - secretRef:
      name: {{ include "sod.name" . }}
  {{- end }}
  {{- range list .Values.apiKeys.existingSecret .Values.rateLimitStorage.existingSecret | compact | uniq }}
  - secretRef:
      name: {{ . }}
  {{- end }}
{{- with .Values.extraEnv }}
env: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The gateway's probes. It is live while Triton loads, and the launcher itself replaces what hangs, so that only a
launcher that is lost is killed from outside. Readiness is a real inference. */ -}}
{{- define "sod.probes" -}}
{{- $get := dict "port" "http" "scheme" (include "sod.scheme" .) }}
startupProbe:
  httpGet: {{- merge (dict "path" "/health/live") $get | toYaml | nindent 4 }}
  periodSeconds: 3
  timeoutSeconds: 3
  failureThreshold: 60
livenessProbe:
  httpGet: {{- merge (dict "path" "/health/live") $get | toYaml | nindent 4 }}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 12
readinessProbe:
  httpGet: {{- merge (dict "path" "/health/ready") $get | toYaml | nindent 4 }}
  periodSeconds: 5
  timeoutSeconds: 30
  failureThreshold: 2
{{- end }}

{{- define "sod.podAnnotations" -}}
checksum/settings: {{ include (print .Template.BasePath "/config.yaml") . | sha256sum }}
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* A pod with Triton: (list $ component) */ -}}
{{- define "sod.tritonPod" -}}
{{- $root := index . 0 }}
{{- $split := eq $root.Values.mode "split" }}
metadata:
  labels: {{- include "sod.labels" . | nindent 4 }}
  annotations: {{- include "sod.podAnnotations" $root | nindent 4 }}
spec:
  {{- include "sod.podSecurity" $root | nindent 2 }}
  {{- include "sod.spread" . | nindent 2 }}
  {{- with $root.Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- if eq $root.Values.models.source "initContainer" }}
  initContainers:
    - name: models
      image: {{ required "models.initContainer.image names the image that copies the models" $root.Values.models.initContainer.image }}
      {{- with $root.Values.models.initContainer.command }}
      command: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- include "sod.containerSecurity" $root | nindent 6 }}
      volumeMounts:
        - name: models
          mountPath: /models
        - name: tmp
          mountPath: /tmp
  {{- end }}
  containers:
    - name: triton-sod
      image: {{ include "sod.image" $root }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args:
        - python
        - -m
        - server
        - --host=0.0.0.0
        - --model-repository=/models
        - --start-timeout={{ int $root.Values.startTimeout }}
        {{- with $root.Values.profile }}
        - --profile={{ . }}
        {{- end }}
        {{- range $root.Values.servedModels }}
        - --model={{ . }}
        {{- end }}
        {{- if $split }}
        - --triton-host=0.0.0.0
        {{- end }}
      {{- include "sod.environment" $root | nindent 6 }}
      ports:
        - name: http
          containerPort: 8080
        {{- if $split }}
        - name: grpc
          containerPort: 8001
        - name: metrics
          containerPort: 8002
        {{- end }}
      {{- include "sod.probes" $root | nindent 6 }}
      {{- include "sod.containerSecurity" $root | nindent 6 }}
      {{- $resources := deepCopy $root.Values.resources }}
      {{- if $root.Values.gpu.enabled }}
      {{- $resources = merge (dict "limits" (dict $root.Values.gpu.resource (toString $root.Values.gpu.count))) $resources }}
      {{- end }}
      resources: {{- toYaml $resources | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        - name: shm
          mountPath: /dev/shm
        {{- if ne $root.Values.models.source "image" }}
        - name: models
          mountPath: /models
          readOnly: true
        {{- end }}
        {{- if $root.Values.tls.existingSecret }}
        - name: tls
          mountPath: /tls
          readOnly: true
        {{- end }}
  volumes:
    - name: tmp
      emptyDir:
        sizeLimit: 1Gi
    - name: shm
      emptyDir:
        medium: Memory
        sizeLimit: {{ include "sod.sharedMemory" $root }}
    {{- if eq $root.Values.models.source "pvc" }}
    - name: models
      persistentVolumeClaim:
        claimName: {{ $root.Values.models.pvc.existingClaim | default (printf "%s-models" (include "sod.name" $root)) }}
        readOnly: true
    {{- else if eq $root.Values.models.source "initContainer" }}
    - name: models
      emptyDir: {}
    {{- end }}
    {{- if $root.Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ $root.Values.tls.existingSecret }}
    {{- end }}
{{- end }}

{{- define "sod.startsTriton" -}}
{{- if or (eq .Values.mode "all-in-one") (not .Values.split.tritonUrl) }}true{{ end }}
{{- end }}

{{- /* Mistakes that only show when a pod does not start. */ -}}
{{- define "sod.check" -}}
{{- if and (eq .Values.mode "split") (include "sod.startsTriton" .) (not .Values.gpu.enabled) (not .Values.split.acceptKnownVulnerabilities) }}
{{- fail "mode split opens Triton's port in the cluster, and the Triton of the CPU image (24.10) has known vulnerabilities: take mode all-in-one, or set split.acceptKnownVulnerabilities=true where only gateways reach it (SECURITY.md)" }}
{{- end }}
{{- if and .Values.apiKeys.value .Values.apiKeys.existingSecret }}
{{- fail "give apiKeys.value or apiKeys.existingSecret, not both" }}
{{- end }}
{{- if and .Values.rateLimitStorage.value .Values.rateLimitStorage.existingSecret }}
{{- fail "give rateLimitStorage.value or rateLimitStorage.existingSecret, not both" }}
{{- end }}
{{- if and (hasPrefix "gpu" .Values.profile) (not .Values.gpu.enabled) }}
{{- fail (printf "profile %s needs gpu.enabled=true" .Values.profile) }}
{{- end }}
{{- if and (eq .Values.mode "split") .Values.split.tritonUrl (ne .Values.autoscaling.kind "none") }}
{{- fail "autoscaling scales the pods with Triton, and split.tritonUrl starts none" }}
{{- end }}
{{- range $name, $_ := .Values.settings }}
{{- if or (not (hasPrefix "SOD_" $name)) (has $name (list "SOD_API_KEYS" "SOD_TLS_KEY_PASSWORD" "SOD_TLS_CERTIFICATE" "SOD_TLS_KEY" "SOD_DRAIN_DELAY" "SOD_SHUTDOWN_TIMEOUT" "SOD_TRITON_URL" "SOD_HOST" "SOD_PORT" "SOD_RATE_LIMIT_STORAGE")) }}
{{- fail (printf "settings.%s: settings begin with SOD_, and apiKeys, rateLimitStorage, tls, drain and split have values of their own" $name) }}
{{- end }}
{{- end }}
{{- end }}
