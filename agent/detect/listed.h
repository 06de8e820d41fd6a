/* What listed.c hands to the detectors of Tor: a flow to or from an address of a list of category tor-relay or tor-guard. */
#ifndef ECSGUARD_LISTED_H
#define ECSGUARD_LISTED_H

#include "agent/detect/flow_step.h"

/* What a far end did, as far as it was seen. */
void tor_flow(struct detection *d, const struct step *s, const struct flow_view *view, const struct intel_match *match);

/* The detectors that listed.c and tor.c make. */
extern const struct detector detector_crypto_address, detector_crypto_domain, detector_c2_address, detector_c2_domain, detector_blackhole_address,
    detector_blackhole_domain, detector_droppoint_address, detector_droppoint_domain, detector_dga_domain, detector_driveby_domain,
    detector_phishing_domain, detector_abused_domain, detector_crypto_reputation_domain, detector_malicious_domain, detector_suspicious_domain,
    detector_custom_address, detector_custom_domain, detector_listed_caller, detector_tor_client, detector_tor_relay;

#endif
