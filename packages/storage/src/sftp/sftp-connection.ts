// An SSH connection with its SFTP channel: host key checked against known_hosts, keys and agent as ssh uses them.

import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { AppError, messageOf, throwIfAborted, type Secret } from '@varve/base';
import { Client, type ConnectConfig, type ServerHostKeyAlgorithm, type SFTPWrapper } from 'ssh2';
import { fingerprintOf, keyTypeOf, knownKeys, type KnownKey } from './known-hosts.ts';
import { knownHostName, type SftpLocation } from './sftp-location.ts';

export interface SftpAccess extends SftpLocation {
  readonly location: string;
  /** Files; read when connecting. Missing ones are passed over. */
  readonly keyFiles: readonly string[];
  /** A file that has to be there, in place of those. */
  readonly namedKeyFile: string | undefined;
  readonly knownHostsFiles: readonly string[];
  readonly agent: string | undefined;
  readonly password: Secret | undefined;
  readonly keyPassphrase: Secret | undefined;
}

export interface SftpConnection {
  readonly sftp: SFTPWrapper;
  /** Aborted, with the reason, when the connection is lost. */
  readonly lost: AbortSignal;
  close(): void;
}

const readyTimeoutMs = 30_000;
const keepAliveMs = 20_000;
const defaultKeyNames = ['id_ed25519', 'id_ecdsa', 'id_rsa'];

/** What ssh looks at by itself. */
export function defaultFiles(home: string | undefined): { keyFiles: string[]; knownHostsFiles: string[] } {
  const folder = join(home ?? userInfo().homedir, '.ssh');
  return {
    keyFiles: defaultKeyNames.map((name) => join(folder, name)),
    knownHostsFiles: [join(folder, 'known_hosts'), '/etc/ssh/ssh_known_hosts'],
  };
}

export async function connectSftp(access: SftpAccess, signal: AbortSignal | undefined): Promise<SftpConnection> {
  throwIfAborted(signal);
  const known = await readKnownKeys(access);
  const keys = await readKeys(access);
  const credentials = credentialsOf(access, keys);
  if (credentials.length === 0) throw noCredentials(access);
  let lastError: unknown;
  for (const credential of credentials) {
    try {
      return await connectOnce(access, known, credential, signal);
    } catch (error) {
      if (!isAuthFailure(error)) throw error;
      lastError = error;
    }
  }
  throw new AppError(
    'STORAGE_DENIED',
    `${access.location} takes none of the keys, nor the password: ${messageOf(lastError)}.`,
    {
      hint: 'Add the public key to ~/.ssh/authorized_keys there, name another key in the option sftp.key, or set VARVE_SFTP_PASSWORD.',
      cause: lastError,
    },
  );
}

type Credential = Pick<ConnectConfig, 'agent' | 'privateKey' | 'passphrase' | 'password'>;

function credentialsOf(access: SftpAccess, keys: readonly Buffer[]): Credential[] {
  const passphrase = access.keyPassphrase?.reveal();
  return [
    ...(access.agent === undefined ? [] : [{ agent: access.agent }]),
    ...keys.map((privateKey) => ({ privateKey, ...(passphrase === undefined ? {} : { passphrase }) })),
    ...(access.password === undefined ? [] : [{ password: access.password.reveal() }]),
  ];
}

function noCredentials({ location }: SftpAccess): AppError {
  return new AppError('STORAGE_DENIED', `There is no key, agent or password for ${location}.`, {
    hint: 'Make a key with `ssh-keygen -t ed25519`, name one in the option sftp.key, start an agent, or set VARVE_SFTP_PASSWORD.',
  });
}

async function readKeys({ keyFiles, namedKeyFile }: SftpAccess): Promise<Buffer[]> {
  if (namedKeyFile !== undefined) {
    const named = await readFile(namedKeyFile).catch((cause: unknown) => {
      const hint = 'Give the path of a private key that the user who runs Varve may read.';
      throw new AppError('STORAGE_DENIED', `The key of sftp.key cannot be read: ${messageOf(cause)}.`, { hint, cause });
    });
    return [named];
  }
  const found = await Promise.all(keyFiles.map((file) => readFile(file).catch(() => null)));
  return found.filter((key) => key !== null);
}

async function readKnownKeys(access: SftpAccess): Promise<KnownKey[]> {
  const texts = await Promise.all(access.knownHostsFiles.map((file) => readFile(file, 'utf8').catch(() => '')));
  return texts.flatMap((text) => knownKeys(text, knownHostName(access)));
}

function isAuthFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return (
    ('level' in error && error.level === 'client-authentication') || /private ?key|passphrase/i.test(error.message)
  );
}

function connectOnce(
  access: SftpAccess,
  known: readonly KnownKey[],
  credential: Credential,
  signal: AbortSignal | undefined,
): Promise<SftpConnection> {
  const { promise, resolve, reject } = Promise.withResolvers<SftpConnection>();
  const client = new Client();
  const lost = new AbortController();
  let hostError: AppError | undefined;
  const fail = (error: unknown): void => {
    const reason = hostError ?? error;
    reject(reason);
    lost.abort(reason);
    client.end();
  };
  const onAbort = (): void => fail(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  client.on('error', fail);
  client.on('close', () => fail(new Error('the connection was closed')));
  client.on('ready', () => {
    client.sftp((error, sftp) => {
      signal?.removeEventListener('abort', onAbort);
      if (error) return fail(error);
      sftp.on('error', fail);
      sftp.on('close', () => fail(new Error('the SFTP channel was closed')));
      resolve({ sftp, lost: lost.signal, close: () => client.end() });
    });
  });
  try {
    client.connect({
      // ssh2's own socket has Nagle's algorithm on, which costs 40 ms for every request.
      sock: connect({ host: access.host, port: access.port, noDelay: true }),
      host: access.host,
      port: access.port,
      username: access.user ?? userInfo().username,
      readyTimeout: readyTimeoutMs,
      keepaliveInterval: keepAliveMs,
      keepaliveCountMax: 3,
      // As ssh does: the kinds of keys that are known first, or a host with several would show an unknown one.
      algorithms: known.length === 0 ? {} : { serverHostKey: hostKeyAlgorithms(known) },
      hostVerifier: (key: Buffer) => {
        hostError = checkHostKey(access, known, key);
        return hostError === undefined;
      },
      ...credential,
    });
  } catch (error) {
    fail(error);
  }
  return promise.finally(() => signal?.removeEventListener('abort', onAbort));
}

const algorithmsByType: Readonly<Record<string, readonly ServerHostKeyAlgorithm[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256'],
};

function hostKeyAlgorithms(known: readonly KnownKey[]): ServerHostKeyAlgorithm[] {
  const types = new Set(known.map(({ type }) => type));
  const first = [...types].flatMap((type) => algorithmsByType[type] ?? []);
  const others = Object.values(algorithmsByType).flat();
  return [...new Set([...first, ...others])];
}

/** Undefined when the key is the host's. */
function checkHostKey(access: SftpAccess, known: readonly KnownKey[], key: Buffer): AppError | undefined {
  const name = knownHostName(access);
  const same = known.filter((each) => each.key.equals(key));
  const shown = `${keyTypeOf(key)} ${fingerprintOf(key)}`;
  if (same.length > 0 && !same.some(({ isRevoked }) => isRevoked)) return undefined;
  const file = access.knownHostsFiles[0] ?? 'known_hosts';
  if (same.length > 0) {
    return new AppError('STORAGE_DENIED', `The key of ${name} is revoked in known_hosts (it shows ${shown}).`, {
      hint: `Whoever revoked it does not trust it any more: give the host a new key, and put that into ${file}.`,
    });
  }
  if (known.length > 0) {
    return new AppError('STORAGE_DENIED', `The key of ${name} is not the one that is known (it shows ${shown}).`, {
      hint: `Somebody may be between you and it. If its key was really changed, remove the old one: ssh-keygen -R '${name}' -f ${file}`,
    });
  }
  const port = access.port === 22 ? '' : `-p ${access.port} `;
  return new AppError('STORAGE_DENIED', `The host ${name} is not known: it shows the key ${shown}.`, {
    hint: `Compare the fingerprint with the one on the host (ssh-keygen -lf /etc/ssh/ssh_host_…_key.pub), then: ssh-keyscan ${port}${access.host} >> ${file}`,
  });
}
