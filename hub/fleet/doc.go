// Package fleet administers the devices: enrolment by one-time token, renewal and revocation of
// credentials, whether a device has a link, and the desired and reported state.
//
// A token is bound to a device name, site and cohort, lives for an hour and binds the first
// public key that presents it; repeating with the same key is idempotent. Every token that cannot
// be used gets the same answer, and each source address has ten tries a minute.
//
// Desired state is stored in SQL first (the truth, with a generation that only grows) and then
// put into the NATS bucket, which republishes it to the device. A hub that starts puts again what
// a crash kept from the bucket.
package fleet
