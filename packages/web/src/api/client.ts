// The API as typed functions. Every answer is parsed by the contract's schema, so that a page never works on something else
// than it was written for; every failure is an ApiProblem with code, message and hint.

import {
  alertSchema,
  apiErrorSchema,
  appOverviewSchema,
  appSchema,
  appSnapshotSchema,
  discoveredAppSchema,
  doctorCheckSchema,
  jobDetailsSchema,
  jobSchema,
  maintenanceSchema,
  prunePreviewSchema,
  recoveryKitSchema,
  repositoryInfoSchema,
  madeRestorePointSchema,
  recoveryPlanSchema,
  restorePlanSchema,
  sandboxSchema,
  retentionPreviewSchema,
  sessionStateSchema,
  settingsSchema,
  snapshotDetailsSchema,
  snapshotFolderSchema,
  storageCheckSchema,
  timelineSchema,
  walCaptureSchema,
  walSettingsSchema,
} from '@varve/contract';
import type {
  WalArchive,
  DownloadFormat,
  DatabaseChange,
  NewAppInput,
  NewOwner,
  NewRestorePoint,
  NewSnapshot,
  PolicyInput,
  RecoveryRequestInput,
  RestoreRequestInput,
  SettingsUpdate,
  SignIn,
  StorageCheck,
  TimelineQuery,
} from '@varve/contract';
import { z } from 'zod';

/** A request that did not succeed: the server's words, or ours when it did not answer at all. */
export class ApiProblem extends Error {
  readonly code: string;
  readonly hint: string | null;
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;

  constructor(problem: { code: string; message: string; hint: string | null; status: number }) {
    super(problem.message);
    this.name = 'ApiProblem';
    this.code = problem.code;
    this.hint = problem.hint;
    this.status = problem.status;
  }
}

interface RequestOptions {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly body?: unknown;
  readonly signal?: AbortSignal | undefined;
}

async function request<T>(path: string, schema: z.ZodType<T>, options: RequestOptions = {}): Promise<T> {
  const response = await send(path, options);
  const text = await response.text();
  const body = parseJson(text);
  if (!response.ok) throw problemOf(response, body);
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new ApiProblem({
    code: 'ANSWER_UNEXPECTED',
    message: `${path}: ${z.prettifyError(parsed.error)}`,
    hint: null,
    status: response.status,
  });
}

async function send(path: string, { method = 'GET', body, signal }: RequestOptions): Promise<Response> {
  try {
    return await fetch(`/api${path}`, {
      method,
      credentials: 'same-origin',
      headers: body === undefined ? { accept: 'application/json' } : { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiProblem({ code: 'NETWORK', message: `${method} ${path}`, hint: null, status: 0 });
  }
}

function parseJson(text: string): unknown {
  if (text === '') return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function problemOf(response: Response, body: unknown): ApiProblem {
  const parsed = apiErrorSchema.safeParse(body);
  if (parsed.success) {
    const { code, message, hint } = parsed.data.error;
    return new ApiProblem({ code, message, hint, status: response.status });
  }
  const message = `HTTP ${response.status} ${response.statusText}`.trim();
  return new ApiProblem({ code: 'ANSWER_UNEXPECTED', message, hint: null, status: response.status });
}

/** Answers whose body says nothing that a page needs. */
const nothing = z.unknown().transform(() => undefined);

const discoverySchema = z.object({
  apps: z.array(discoveredAppSchema),
  dockerProblem: z.object({ code: z.string(), message: z.string(), hint: z.string().nullable() }).nullable(),
});

interface Read {
  readonly signal?: AbortSignal | undefined;
}

interface TestRepository extends Read {
  readonly onCheck: (check: StorageCheck) => void;
}

/** Runs to the last check; rejects when the server ended before it. */
async function testRepository({ signal, onCheck }: TestRepository): Promise<void> {
  const path = '/repository/test';
  const response = await send(path, { method: 'POST', body: {}, signal });
  if (!response.ok || response.body === null) throw problemOf(response, parseJson(await response.text()));
  let unread = '';
  let isLast = false;
  // Not every browser can walk a stream with “for await”.
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    const events = (unread + read.value).split('\n\n');
    unread = events.pop() ?? '';
    for (const event of events) {
      const data = /^data: ?(.*)$/m.exec(event)?.[1] ?? '';
      const check = storageCheckSchema.parse(parseJson(data));
      isLast = check.name === storageCheckSchema.shape.name.options.at(-1);
      onCheck(check);
    }
  }
  if (!isLast) throw new ApiProblem({ code: 'NETWORK', message: `POST ${path}`, hint: null, status: 0 });
}

const at = (id: string): string => `/apps/${encodeURIComponent(id)}`;

/** Where a file of a snapshot is downloaded, or a folder as an archive: an address for a link. */
export function downloadUrl(
  id: string,
  snapshotId: string,
  query: { readonly path: string; readonly format: DownloadFormat },
): string {
  return `/api${at(id)}/snapshots/${encodeURIComponent(snapshotId)}/download${queryText(query)}`;
}

export const api = {
  session: (o: Read = {}) => request('/session', sessionStateSchema, o),
  setUp: (body: NewOwner) => request('/setup', nothing, { method: 'POST', body }),
  signIn: (body: SignIn) => request('/sign-in', nothing, { method: 'POST', body }),
  signOut: () => request('/sign-out', nothing, { method: 'POST', body: {} }),

  apps: (o: Read = {}) => request('/apps', z.array(appOverviewSchema), o),
  app: (id: string, o: Read = {}) => request(at(id), appOverviewSchema, o),
  discover: (o: Read = {}) => request('/apps/discover', discoverySchema, o),
  addApp: (body: NewAppInput) => request('/apps', appSchema, { method: 'POST', body }),
  removeApp: (id: string) => request(at(id), nothing, { method: 'DELETE' }),
  updateDatabase: (id: string, component: string, body: DatabaseChange) =>
    request(`${at(id)}/databases/${encodeURIComponent(component)}`, appSchema, { method: 'PUT', body }),
  updatePolicy: (id: string, body: PolicyInput) => request(`${at(id)}/policy`, appSchema, { method: 'PUT', body }),

  snapshots: (id: string, o: Read = {}) => request(`${at(id)}/snapshots`, z.array(appSnapshotSchema), o),
  snapshot: (id: string, snapshotId: string, o: Read = {}) =>
    request(`${at(id)}/snapshots/${encodeURIComponent(snapshotId)}`, snapshotDetailsSchema, o),
  snapshotFolder: (id: string, snapshotId: string, query: { path: string; offset: number }, o: Read = {}) =>
    request(`${at(id)}/snapshots/${encodeURIComponent(snapshotId)}/files${queryText(query)}`, snapshotFolderSchema, o),
  startSnapshot: (id: string, body: NewSnapshot) => request(`${at(id)}/snapshots`, jobSchema, { method: 'POST', body }),

  timeline: (id: string, query: TimelineQuery, o: Read = {}) =>
    request(`${at(id)}/timeline${queryText({ from: query.from, to: query.to })}`, timelineSchema, o),
  createPoint: (id: string, body: NewRestorePoint) =>
    request(`${at(id)}/points`, madeRestorePointSchema, { method: 'POST', body }),
  captures: (id: string, o: Read = {}) => request(`${at(id)}/wal`, z.array(walCaptureSchema), o),
  setCapture: (id: string, body: { enabled: boolean; component?: string; archive?: WalArchive }) =>
    request(`${at(id)}/wal`, appSchema, { method: 'PUT', body }),
  walSettings: (id: string, query: { component: string; directory: string; readFrom?: string }, o: Read = {}) =>
    request(`${at(id)}/wal/settings${queryText(query)}`, walSettingsSchema, o),
  planRecovery: (id: string, body: RecoveryRequestInput, o: Read = {}) =>
    request(`${at(id)}/recovery-plans`, recoveryPlanSchema, { method: 'POST', body, ...o }),
  startRecovery: (id: string, body: RecoveryRequestInput & { fingerprint: string }) =>
    request(`${at(id)}/recoveries`, jobSchema, { method: 'POST', body }),

  sandboxes: (o: Read = {}) => request('/sandboxes', z.array(sandboxSchema), o),
  promoteSandbox: (id: string) =>
    request(`/sandboxes/${encodeURIComponent(id)}/promotion`, sandboxSchema, { method: 'POST', body: {} }),
  removeSandbox: (id: string) => request(`/sandboxes/${encodeURIComponent(id)}`, nothing, { method: 'DELETE' }),

  planRestore: (id: string, body: RestoreRequestInput, o: Read = {}) =>
    request(`${at(id)}/restore-plans`, restorePlanSchema, { method: 'POST', body, ...o }),
  startRestore: (id: string, body: RestoreRequestInput & { fingerprint: string }) =>
    request(`${at(id)}/restores`, jobSchema, { method: 'POST', body }),

  retention: (id: string, o: Read = {}) => request(`${at(id)}/retention`, retentionPreviewSchema, o),
  startForget: (id: string, fingerprint: string) =>
    request(`${at(id)}/retention`, jobSchema, { method: 'POST', body: { fingerprint } }),

  jobs: (query: { appId?: string; limit?: number } = {}, o: Read = {}) =>
    request(`/jobs${queryText(query)}`, z.array(jobSchema), o),
  job: (id: string, o: Read = {}) => request(`/jobs/${encodeURIComponent(id)}`, jobDetailsSchema, o),
  cancelJob: (id: string) => request(`/jobs/${encodeURIComponent(id)}/cancel`, jobSchema, { method: 'POST', body: {} }),

  alerts: (o: Read = {}) => request('/alerts', z.array(alertSchema), o),
  openAlerts: (o: Read = {}) => request('/alerts?open=true', z.array(alertSchema), o),

  repository: (o: Read = {}) => request('/repository', repositoryInfoSchema.nullable(), o),
  startCheck: (readData: boolean) => request('/repository/check', jobSchema, { method: 'POST', body: { readData } }),
  maintenance: (o: Read = {}) => request('/repository/maintenance', maintenanceSchema.nullable(), o),
  previewPrune: (o: Read = {}) =>
    request('/repository/prune/preview', prunePreviewSchema, { method: 'POST', body: {}, ...o }),
  startPrune: () => request('/repository/prune', jobSchema, { method: 'POST', body: {} }),
  testRepository,
  recoveryKit: (password: string) =>
    request('/repository/recovery-kit', recoveryKitSchema, { method: 'POST', body: { password } }),
  confirmRecoveryKit: () => request('/repository/recovery-kit/confirm', nothing, { method: 'POST', body: {} }),

  settings: (o: Read = {}) => request('/settings', settingsSchema, o),
  updateSettings: (body: SettingsUpdate) => request('/settings', settingsSchema, { method: 'PUT', body }),
  sendTestEmail: () => request('/settings/test-email', nothing, { method: 'POST', body: {} }),
  doctor: (o: Read = {}) => request('/doctor', z.array(doctorCheckSchema), o),
};

function queryText(query: Readonly<Record<string, string | number | undefined>>): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) parameters.set(name, String(value));
  const text = parameters.toString();
  return text === '' ? '' : `?${text}`;
}
