// Certificates for connections over TLS, in files that restic's variables name: RESTIC_CACERT (authorities to trust, in place
// of the system's) and RESTIC_TLS_CLIENT_CERT (a certificate with its key, to show).

import { readFile } from 'node:fs/promises';
import { AppError, messageOf, Secret } from '@varve/base';
import type { Environment } from './open-options.ts';

export interface TlsFiles {
  /** PEM texts. */
  readonly ca: string | undefined;
  readonly clientCertificate: Secret | undefined;
}

/** STORAGE_DENIED when a file that is named cannot be read. */
export async function readTlsFiles(environment: Environment): Promise<TlsFiles> {
  const certificate = await readNamed(environment, 'RESTIC_TLS_CLIENT_CERT');
  return {
    ca: await readNamed(environment, 'RESTIC_CACERT'),
    clientCertificate: certificate === undefined ? undefined : new Secret(certificate),
  };
}

const untrustedCodes = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]);

/** The error for a certificate that no trusted authority has signed; undefined when `code` is about something else. */
export function untrustedError(code: string, message: string, cause: unknown): AppError | undefined {
  if (!untrustedCodes.has(code)) return undefined;
  const hint = 'The certificate is not signed by an authority that is trusted here: name its file in RESTIC_CACERT.';
  return new AppError('STORAGE_DENIED', message, { hint, cause });
}

/** For an agent of node:https. */
export function tlsAgentOptions({ ca, clientCertificate }: TlsFiles): { ca?: string; cert?: string; key?: string } {
  const pem = clientCertificate?.reveal();
  return { ...(ca === undefined ? {} : { ca }), ...(pem === undefined ? {} : { cert: pem, key: pem }) };
}

async function readNamed(environment: Environment, variable: string): Promise<string | undefined> {
  const file = environment[variable];
  if (!file) return undefined;
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new AppError('STORAGE_DENIED', `The file that ${variable} names cannot be read: ${messageOf(cause)}`, {
      hint: 'Give the path of a PEM file that the user who runs Varve may read.',
      cause,
    });
  });
}
