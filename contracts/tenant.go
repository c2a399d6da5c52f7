package contracts

import "regexp"

// TenantPattern is what a tenant may be called: the pattern of defs/tenant.json.
var TenantPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)
