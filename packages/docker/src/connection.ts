// One connection to an engine: the dockerode client, the endpoint for messages, and the mapping of errors around each request.

import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import Docker from 'dockerode';
import { throwIfAborted } from '@varve/base';
import { engineError, request, statusOf, unreachableError } from './engine-errors.ts';
import { resolveEndpoint, type DockerEndpoint, type EndpointOptions } from './endpoint.ts';

export interface EngineVersion {
  readonly version: string;
  readonly apiVersion: string;
  readonly os: string;
  readonly architecture: string;
}

const connectTimeoutMs = 5000;

/** What every file of this room works with; not exported from the room. */
export interface Connection {
  readonly docker: Docker;
  readonly endpoint: DockerEndpoint;
  readonly version: EngineVersion;
  /** Runs a request; `action` completes "Docker could not …". */
  request<T>(action: string, task: () => Promise<T>, signal?: AbortSignal): Promise<T>;
}

export interface ConnectOptions extends EndpointOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Opens a connection and asks for the version; DOCKER_UNREACHABLE with a remedy when no answer comes in 5 s. */
export async function openConnection(options: ConnectOptions = {}): Promise<Connection> {
  throwIfAborted(options.signal);
  const endpoint = await resolveEndpoint(options);
  const docker = createClient(endpoint);
  const timeout = AbortSignal.timeout(connectTimeoutMs);
  const signal = options.signal ? AbortSignal.any([options.signal, timeout]) : timeout;
  try {
    const version = await askVersion(docker, endpoint, signal);
    return {
      docker,
      endpoint,
      version,
      request: (action, task, requestSignal) => request({ endpoint, action, signal: requestSignal }, task),
    };
  } catch (error) {
    throwIfAborted(options.signal);
    if (timeout.aborted) throw unreachableError(endpoint, 'TIMEOUT', error);
    throw error;
  }
}

async function askVersion(docker: Docker, endpoint: DockerEndpoint, signal: AbortSignal): Promise<EngineVersion> {
  // The client takes options here; its type declarations do not say so.
  const versioned = docker as unknown as { version(options: object): Promise<unknown> };
  try {
    const answer = await versioned.version(abortable(signal));
    // Something else may listen there: an engine's answer has both fields.
    if (!isVersionAnswer(answer)) throw unreachableError(endpoint, 'the answer is not that of a Docker engine');
    return {
      version: answer.Version,
      apiVersion: answer.ApiVersion,
      os: answer.Os ?? 'linux',
      architecture: answer.Arch ?? 'unknown',
    };
  } catch (error) {
    if (statusOf(error) !== undefined) throw unreachableError(endpoint, `HTTP ${statusOf(error)}`, error);
    throw engineError(error, { endpoint, action: 'tell its version', signal });
  }
}

interface VersionAnswer {
  readonly Version: string;
  readonly ApiVersion: string;
  readonly Os?: string;
  readonly Arch?: string;
}

function isVersionAnswer(value: unknown): value is VersionAnswer {
  return (
    typeof value === 'object' &&
    value !== null &&
    'Version' in value &&
    'ApiVersion' in value &&
    typeof value.Version === 'string' &&
    typeof value.ApiVersion === 'string'
  );
}

/** `agent` and explicit `undefined` pass through to docker-modem; the type declarations leave the first out. */
type ClientOptions = Docker.DockerOptions & { readonly agent: HttpAgent };

/** Every option is given, since docker-modem fills the absent ones from DOCKER_HOST and its friends. */
function createClient(endpoint: DockerEndpoint): Docker {
  // No keep-alive: the engine may close an idle connection while we write the next request on it.
  if (endpoint.kind === 'unix') {
    const agent = new HttpAgent({ keepAlive: false });
    const { socketPath } = endpoint;
    const options: ClientOptions = { socketPath, host: undefined, port: undefined, protocol: 'http', agent, ...noTls };
    return new Docker(options);
  }
  const { host, port, tls } = endpoint;
  const agent = tls ? new HttpsAgent({ keepAlive: false, ...tls }) : new HttpAgent({ keepAlive: false });
  const protocol = tls ? 'https' : 'http';
  const options: ClientOptions = { socketPath: undefined, host, port, protocol, agent, ...(tls ?? noTls) };
  return new Docker(options);
}

const noTls = { ca: undefined, cert: undefined, key: undefined };

/** The client's option for a signal; absent, since some calls would send an empty one to the engine. */
export function abortable(signal: AbortSignal | undefined): { readonly abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
