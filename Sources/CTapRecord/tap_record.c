#include "tap_record.h"

#define X(name) #name,
static const char *const names[] = {TAP_CALLS(X)};
#undef X

const char *tap_call_name(int call) { return call >= 0 && call < TAP_CALL_COUNT ? names[call] : "?"; }
