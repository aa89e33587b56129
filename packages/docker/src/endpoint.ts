// Where the Docker Engine answers, chosen as the docker command line does: an explicit host, DOCKER_HOST, the current
// context of the user's Docker configuration, then /var/run/docker.sock. Reads files, connects to nothing.

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { AppError, systemErrorCode } from '@varve/base';

interface TlsFiles {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** An address of a Docker Engine. `source` says where it came from, for messages. */
export type DockerEndpoint = { readonly source: string } & (
  | { readonly kind: 'unix'; readonly socketPath: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls: TlsFiles | undefined }
);

export interface EndpointOptions {
  /** As DOCKER_HOST: `unix:///path`, `tcp://host:port`. Wins over everything. */
  readonly host?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Folder that holds `.docker`; the user's home by default. */
  readonly homeDir?: string | undefined;
}

const defaultSocket = '/var/run/docker.sock';

/** Chooses the endpoint. DOCKER_UNREACHABLE when what is configured cannot be used (ssh, a broken context, no certificates). */
export async function resolveEndpoint(options: EndpointOptions = {}): Promise<DockerEndpoint> {
  const env = options.env ?? process.env;
  const configDir = env['DOCKER_CONFIG'] ?? join(options.homeDir ?? homedir(), '.docker');
  const certFolder = env['DOCKER_CERT_PATH'] ?? configDir;
  const verifyTls = (env['DOCKER_TLS_VERIFY'] ?? '') !== '';
  if (options.host) return parseHost(options.host, { source: 'the configured host', certFolder, verifyTls });
  // DOCKER_CONTEXT loses against DOCKER_HOST, as in the docker command line.
  if (env['DOCKER_HOST']) return parseHost(env['DOCKER_HOST'], { source: 'DOCKER_HOST', certFolder, verifyTls });
  const context = env['DOCKER_CONTEXT'] || (await currentContext(configDir));
  if (context !== undefined && context !== 'default') return contextEndpoint(configDir, context);
  return { kind: 'unix', socketPath: defaultSocket, source: 'the default socket' };
}

/** The endpoint in the form of DOCKER_HOST; holds no secret. */
export function endpointUrl(endpoint: DockerEndpoint): string {
  return endpoint.kind === 'unix' ? `unix://${endpoint.socketPath}` : `tcp://${endpoint.host}:${endpoint.port}`;
}

async function currentContext(configDir: string): Promise<string | undefined> {
  const config = await readJson(join(configDir, 'config.json'));
  const name = config?.['currentContext'];
  return typeof name === 'string' && name !== '' ? name : undefined;
}

/** Contexts live in `contexts/meta/<sha256 of the name>/meta.json`, their certificates in `contexts/tls/<same>/docker`. */
async function contextEndpoint(configDir: string, name: string): Promise<DockerEndpoint> {
  const id = createHash('sha256').update(name).digest('hex');
  const meta = await readJson(join(configDir, 'contexts', 'meta', id, 'meta.json'));
  const endpoints = meta?.['Endpoints'] as { docker?: { Host?: unknown } } | undefined;
  const host = endpoints?.docker?.Host;
  if (typeof host !== 'string' || host === '') {
    throw new AppError('DOCKER_UNREACHABLE', `The Docker context "${name}" has no usable endpoint in ${configDir}.`, {
      hint: 'List the contexts with `docker context ls`, or set DOCKER_HOST.',
    });
  }
  const certFolder = join(configDir, 'contexts', 'tls', id, 'docker');
  return parseHost(host, { source: `the Docker context "${name}"`, certFolder, verifyTls: undefined });
}

interface HostFacts {
  readonly source: string;
  readonly certFolder: string;
  /** undefined: TLS when the certificates are there (contexts). */
  readonly verifyTls: boolean | undefined;
}

async function parseHost(text: string, facts: HostFacts): Promise<DockerEndpoint> {
  if (text.startsWith('unix://')) {
    return { kind: 'unix', socketPath: text.slice('unix://'.length) || defaultSocket, source: facts.source };
  }
  if (text.startsWith('/')) return { kind: 'unix', socketPath: text, source: facts.source };
  const url = URL.parse(text.includes('://') ? text : `tcp://${text}`);
  if (url === null || !['tcp:', 'http:', 'https:'].includes(url.protocol) || url.hostname === '') {
    throw new AppError(
      'DOCKER_UNREACHABLE',
      `${facts.source} names an engine address that cannot be used: ${url?.protocol ?? text}`,
      {
        hint: 'Use unix:///path/to/docker.sock or tcp://host:port. For a remote engine over SSH, forward its socket: `ssh -L /tmp/docker.sock:/var/run/docker.sock host`.',
      },
    );
  }
  const wantTls = facts.verifyTls ?? (url.protocol === 'https:' || url.port === '2376');
  const tls = wantTls || url.protocol === 'https:' ? await readCertificates(facts.certFolder) : undefined;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { kind: 'tcp', host, port: Number(url.port || (tls ? 2376 : 2375)), tls, source: facts.source };
}

async function readCertificates(folder: string): Promise<TlsFiles> {
  try {
    const [ca, cert, key] = await Promise.all(
      ['ca.pem', 'cert.pem', 'key.pem'].map((name) => readFile(join(folder, name), 'utf8')),
    );
    return { ca: ca ?? '', cert: cert ?? '', key: key ?? '' };
  } catch (error) {
    throw new AppError('DOCKER_UNREACHABLE', `The TLS certificates of the Docker engine cannot be read in ${folder}.`, {
      hint: 'Put ca.pem, cert.pem and key.pem there, or set DOCKER_CERT_PATH.',
      cause: error,
    });
  }
}

async function readJson(path: string): Promise<Record<string, unknown> | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return undefined;
    throw new AppError('DOCKER_UNREACHABLE', `The Docker configuration ${path} cannot be read.`, {
      hint: 'Repair the file, or set DOCKER_HOST.',
      cause: error,
    });
  }
}
