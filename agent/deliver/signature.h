/* Detached Ed25519 signatures (RFC 8032), with OpenSSL. */
#ifndef ECSGUARD_SIGNATURE_H
#define ECSGUARD_SIGNATURE_H

#include <stddef.h>
#include <stdint.h>

#define SIGNATURE_BYTES 64
#define SIGNATURE_KEY_BYTES 32
#define SIGNATURE_TEXT_MAX 128 /* as base64 with a line end */

/* An Ed25519 public key from a PEM file ("openssl pkey -pubout"). NULL, or what is wrong. */
const char *signature_key_load(const char *path, uint8_t key[SIGNATURE_KEY_BYTES]);
/* What a file of a signature holds: its 64 bytes, or they as base64. NULL, or what is wrong. */
const char *signature_parse(const void *data, size_t size, uint8_t signature[SIGNATURE_BYTES]);
/* NULL when the signature of that key over the data is right, or what is wrong. */
const char *signature_check(const uint8_t key[SIGNATURE_KEY_BYTES], const uint8_t signature[SIGNATURE_BYTES], const void *data, size_t size);

#endif
