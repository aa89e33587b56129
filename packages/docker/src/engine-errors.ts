// Turns what dockerode and its sockets throw into AppErrors: unreachable (with the remedy), not found, cancelled, refused.

import { AppError, cancelledError, isAppError, messageOf, systemErrorCode } from '@varve/base';
import { endpointUrl, type DockerEndpoint } from './endpoint.ts';

/** What was being done, as the end of "Docker could not …". */
export interface RequestFacts {
  readonly endpoint: DockerEndpoint;
  readonly action: string;
  readonly signal?: AbortSignal | undefined;
}

const connectErrors = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'EACCES',
  'EPERM',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'ENOTSOCK',
]);
const brokenErrors = new Set(['ECONNRESET', 'EPIPE', 'ERR_STREAM_PREMATURE_CLOSE']);

/** The AppError for `error`; AppErrors pass unchanged. */
export function engineError(error: unknown, facts: RequestFacts): AppError {
  if (isAppError(error)) return error;
  if (facts.signal?.aborted) return cancelledError(facts.signal);
  const status = statusOf(error);
  if (status !== undefined) return refusedError(error, status, facts);
  const code = systemErrorCode(error) ?? '';
  if (connectErrors.has(code)) return unreachableError(facts.endpoint, code, error);
  if (brokenErrors.has(code) || messageOf(error).includes('socket hang up') || messageOf(error) === 'aborted') {
    return new AppError('DOCKER_REQUEST_FAILED', `The connection to Docker broke while it should ${facts.action}.`, {
      hint: 'See whether the engine was restarted: `systemctl status docker`. Then try again.',
      context: { endpoint: endpointUrl(facts.endpoint) },
      retry: true,
      cause: error,
    });
  }
  return new AppError('DOCKER_REQUEST_FAILED', `Docker could not ${facts.action}: ${messageOf(error)}`, {
    cause: error,
  });
}

/** Runs a request and maps its error. */
export async function request<T>(facts: RequestFacts, task: () => Promise<T>): Promise<T> {
  if (facts.signal?.aborted) throw cancelledError(facts.signal);
  try {
    return await task();
  } catch (error) {
    throw engineError(error, facts);
  }
}

/** The HTTP status of an error answer of the engine, when it was one. */
export function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  return typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** DOCKER_UNREACHABLE with the remedy for the reason. `code` is a system error code, or TIMEOUT. */
export function unreachableError(endpoint: DockerEndpoint, code: string, cause?: unknown): AppError {
  const where = endpointUrl(endpoint);
  return new AppError(
    'DOCKER_UNREACHABLE',
    `Docker does not answer at ${where} (${reasonOf(code)}; from ${endpoint.source}).`,
    {
      hint: remedyOf(endpoint, code),
      context: { endpoint: where, reason: code },
      retry: true,
      cause,
    },
  );
}

function reasonOf(code: string): string {
  const reasons: Record<string, string> = {
    ENOENT: 'no such socket',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    ECONNREFUSED: 'connection refused',
    ENOTSOCK: 'not a socket',
    ENOTFOUND: 'unknown host name',
    EAI_AGAIN: 'unknown host name',
    ETIMEDOUT: 'no answer in time',
    TIMEOUT: 'no answer in time',
  };
  return reasons[code] ?? code;
}

function remedyOf(endpoint: DockerEndpoint, code: string): string {
  if (endpoint.kind === 'tcp')
    return 'See whether the engine listens on that address and whether a firewall lets this machine in; or set DOCKER_HOST.';
  if (code === 'EACCES' || code === 'EPERM') {
    return `Run as root, or add your user to the group that owns ${endpoint.socketPath}: \`sudo usermod -aG docker $USER\`, then log in again.`;
  }
  if (code === 'ENOENT')
    return 'Start the engine with `sudo systemctl start docker` (or install it); when it listens elsewhere, set DOCKER_HOST=unix:///path/to/docker.sock.';
  if (code === 'ECONNREFUSED') return 'The engine is not running: `sudo systemctl start docker`.';
  return 'See `systemctl status docker`; restart the engine when it hangs: `sudo systemctl restart docker`.';
}

function refusedError(error: unknown, status: number, facts: RequestFacts): AppError {
  const text = engineMessage(error);
  const context = { endpoint: endpointUrl(facts.endpoint), status };
  if (status === 404)
    return new AppError('DOCKER_NOT_FOUND', `Docker could not ${facts.action}: ${text}`, { context, cause: error });
  return new AppError('DOCKER_REQUEST_FAILED', `Docker could not ${facts.action}: ${text} (HTTP ${status})`, {
    context,
    retry: status >= 500,
    cause: error,
  });
}

function engineMessage(error: unknown): string {
  if (error instanceof Error && 'json' in error) {
    const json = error.json as { message?: unknown } | null;
    if (typeof json?.message === 'string') return json.message.trim();
  }
  return messageOf(error).trim();
}
