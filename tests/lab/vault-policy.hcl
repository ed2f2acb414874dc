# The operator's token: enough to see Vault's state and to build PKI below the root.
path "sys/health" {
  capabilities = ["read"]
}
path "sys/mounts" {
  capabilities = ["read", "list"]
}
path "sys/mounts/pki*" {
  capabilities = ["create", "read", "update", "delete"]
}
path "sys/internal/ui/mounts/*" {
  capabilities = ["read"]
}
path "pki*" {
  capabilities = ["create", "read", "update", "delete", "list", "patch"]
}
