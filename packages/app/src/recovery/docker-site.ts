// Recovery in a container of the app's own image, without a network: in a volume of its own, in a folder of this host, or
// beside the data in the app's own volume. This process writes the files where it sees the volume.

import { mkdir, stat } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { AppError, isAppError } from '@varve/base';
import type { DatabaseComponent, RecoveryDestination, SavedConfig } from '@varve/contract';
import {
  detectPostgres,
  serverLabel,
  type Container,
  type ContainerMount,
  type DockerEngine,
  type HelperMount,
} from '@varve/docker';
import type { FileOwner } from '@varve/postgres';
import { findNode, type Repository } from '@varve/repository';
import { databaseContainer } from '../components/database/database-access.ts';
import { bindMount, type ProjectOnEngine } from '../components/docker-project.ts';
import { isThere } from '../components/code/checkout.ts';
import type { RecoveryChoice } from './choose-recovery.ts';
import { swapFolders } from './data-swap.ts';
import { isFolderEmptyOrMissing } from './recover-cluster.ts';
import { makeHostPlace, ownerOf, shortSocketFolder } from './recovery-place.ts';
import { placeNames, socketPort, type RecoveryPlace, type RecoveryServer } from './recovery-server.ts';
import type { OpenSite, RecoverySite } from './recovery-site.ts';
import { openSession } from './follow-recovery.ts';

const stopTimeoutS = 600;
const volumeTarget = '/varve/recovery';

/** The server's data, where it is in the container and here. */
export interface DockerData {
  readonly container: Container;
  readonly mount: ContainerMount;
  /** The data folder in the container, and as seen from here. */
  readonly dataPath: string;
  readonly dataHere: string;
  /** The root of the mount as seen from here. */
  readonly mountHere: string;
  readonly isRoot: boolean;
}

export interface DockerSiteInput {
  readonly component: DatabaseComponent;
  readonly project: ProjectOnEngine;
  readonly repository: Repository;
  readonly choice: RecoveryChoice;
  readonly destination: RecoveryDestination;
  readonly signal: AbortSignal;
}

/** RESTORE_TARGET_INVALID when the data cannot be reached from here. Looks and changes nothing. */
export async function dockerSite(input: DockerSiteInput): Promise<RecoverySite & { readonly data: DockerData | null }> {
  const { component, project, destination, signal } = input;
  const container = containerOf(component, project);
  const data = await dockerData(container, project.docker, signal).catch((error: unknown) => {
    if (destination.type === 'in-place' || !isAppError(error, 'RESTORE_TARGET_INVALID')) throw error;
    return null;
  });
  const owner = (data === null ? undefined : await ownerOf(data.dataHere)) ?? (await savedOwner(input));
  assertCanWrite(owner);
  const image = imageOf(container, input.choice);
  const shared = { docker: project.docker, image, owner, destination, data };
  return {
    data,
    target: targetText(destination, data),
    spaceFolder: destination.type === 'in-place' ? (data?.mountHere ?? null) : null,
    placedAt: placedAt(destination, data),
    programsVersion: null,
    record: async (id) => ({ owner, place: await recordPlace(shared, id) }),
    open: (id, record, opening) => openSite(shared, { id, record, signal: opening }),
  };
}

function containerOf(component: DatabaseComponent, { project }: ProjectOnEngine): Container {
  const service = component.source.type === 'container' ? component.source.service : '';
  const container = databaseContainer(project, service);
  if (container !== undefined) return container;
  throw invalid(
    `The container of the database "${component.name}" is not there, and recovery needs its image.`,
    'Make the containers of the app again (docker compose up -d).',
  );
}

/** Where the data of a container's server is. RESTORE_TARGET_INVALID when it is not on a mount that can be seen here. */
export async function dockerData(container: Container, docker: DockerEngine, signal: AbortSignal): Promise<DockerData> {
  const service = detectPostgres(container);
  const mount = service?.dataMount;
  if (service === undefined || mount === undefined) {
    throw invalid(
      `The data of ${container.name} is in no volume and no folder of the host.`,
      'Recover into a sandbox, or give the container a volume for its data.',
    );
  }
  const mountHere = await docker.volumeHostPath(mount, { signal });
  if (mountHere === undefined) {
    throw invalid(
      `The data of ${container.name} cannot be reached from here.`,
      'Run Varve on the host of the Engine as root, or mount the folder of its volumes into the container of Varve.',
    );
  }
  const inside = posix.relative(mount.destination, service.dataPath);
  return {
    container,
    mount,
    mountHere,
    dataPath: service.dataPath,
    dataHere: inside === '' ? mountHere : join(mountHere, inside),
    isRoot: inside === '',
  };
}

/** The present one, unless it is of another major version: then the one that was there when the backup was made. */
function imageOf(container: Container, { base }: RecoveryChoice): string {
  const major = String(Number.parseInt(base.saved.serverVersion, 10));
  const present = container.environment.get('PG_MAJOR');
  if (present === undefined || present === major) return container.imageId;
  return savedImage(container, base.manifest.components) ?? container.imageId;
}

function savedImage(
  container: Container,
  components: RecoveryChoice['base']['manifest']['components'],
): string | undefined {
  return components
    .filter((component): component is SavedConfig => component.kind === 'config')
    .flatMap(({ containers }) => containers)
    .find(({ service }) => service === container.service)?.imageId;
}

/** Whether the container has another image than when the backup was made: another C library sorts texts in another way. */
export function hasOtherImage(container: Container, { base }: RecoveryChoice): boolean {
  const saved = savedImage(container, base.manifest.components);
  return saved !== undefined && saved !== container.imageId;
}

async function savedOwner({ repository, choice, signal }: DockerSiteInput): Promise<FileOwner> {
  const { snapshot, saved } = choice.base;
  const { uid, gid } = await findNode(repository, {
    treeId: snapshot.tree,
    path: `${saved.path}/PG_VERSION`,
    signal,
  });
  return { uid, gid };
}

function assertCanWrite(owner: FileOwner): void {
  if (process.getuid?.() === 0 || process.getuid?.() === owner.uid) return;
  throw invalid(
    'The files of a database in a container can be written by root only.',
    'Run Varve as root, as its service does.',
  );
}

function targetText(destination: RecoveryDestination, data: DockerData | null): string {
  if (destination.type === 'folder') return dirname(destination.path);
  if (destination.type === 'sandbox') return 'a volume of its own';
  return data === null ? '' : `the volume of ${data.container.name}`;
}

/** A folder on the host that is meant for the container is mounted where its data is. */
function placedAt(destination: RecoveryDestination, data: DockerData | null): string | null {
  if (destination.type === 'sandbox') return null;
  return data?.dataPath ?? (destination.type === 'folder' ? destination.path : null);
}

interface SiteShared {
  readonly docker: DockerEngine;
  readonly image: string;
  readonly owner: FileOwner;
  readonly destination: RecoveryDestination;
  readonly data: DockerData | null;
}

type DockerPlace = Extract<Awaited<ReturnType<RecoverySite['record']>>['place'], { type: 'docker' }>;

async function recordPlace(shared: SiteShared, id: string): Promise<DockerPlace> {
  const { destination, data } = shared;
  const container = `varve-recovery-${id}`;
  const port = destination.type === 'sandbox' ? (destination.port ?? null) : null;
  if (destination.type === 'sandbox') return { type: 'docker', volume: container, folder: null, container, port };
  if (destination.type === 'in-place') {
    if (data === null) throw new AppError('INTERNAL', 'In place without a place.');
    return {
      type: 'docker',
      volume: null,
      folder: swapFolders(data.dataHere, { id, isRoot: data.isRoot }).work,
      container,
      port,
    };
  }
  const path = destination.path.replace(/\/+$/, '');
  if (!(await isFolderEmptyOrMissing(path))) throw invalid(`${path} is not empty.`, 'Name a new or an empty folder.');
  if (!(await isThere(dirname(path)))) throw invalid(`The folder ${dirname(path)} is not there.`, 'Make it first.');
  return { type: 'docker', volume: null, folder: `${path}.varve-new-${id}`, container, port };
}

interface Opening {
  readonly id: string;
  readonly record: Awaited<ReturnType<RecoverySite['record']>>;
  readonly signal: AbortSignal;
}

async function openSite(shared: SiteShared, { id, record, signal }: Opening): Promise<OpenSite> {
  const { docker, image, owner, data, destination } = shared;
  if (record.place.type !== 'docker') throw new AppError('INTERNAL', 'The record is not of a container.');
  const { volume, container, port } = record.place;
  const where = await folderAndMount({ docker, volume, folder: record.place.folder, data, destination, id, signal });
  const made = await makeHostPlace(where.here, { id, owner });
  const place = { ...made, there: where.there, socketThere: posix.join(where.there, placeNames.socket) };
  const server = containerServer(docker, container, { place, users: [] });
  return {
    place,
    folder: where.here,
    publishedPort: port,
    listen: port === null ? undefined : { addresses: '*', port: socketPort, hba: 'host all all all md5\n' },
    server: {
      ...server,
      async start() {
        await docker.createServerContainer({
          image,
          name: container,
          owner: id,
          command: serverCommand(place),
          user: `${owner.uid}:${owner.gid}`,
          mounts: [where.mount],
          publish: port === null ? undefined : { containerPort: socketPort, hostPort: port },
          stopSignal: 'SIGINT',
          signal,
        });
        await docker.start(container, { signal });
      },
    },
  };
}

/** The log goes to a file that this process can read. */
function serverCommand({ there }: RecoveryPlace): string[] {
  const script = 'exec postgres -D "$1/data" -c "config_file=$1/server.conf" >>"$1/server.log" 2>&1';
  return ['sh', '-c', script, 'sh', there];
}

interface FolderInput {
  readonly docker: DockerEngine;
  readonly volume: string | null;
  readonly folder: string | null;
  readonly data: DockerData | null;
  readonly destination: RecoveryDestination;
  readonly id: string;
  readonly signal: AbortSignal;
}

async function folderAndMount(
  input: FolderInput,
): Promise<{ readonly here: string; readonly there: string; readonly mount: HelperMount }> {
  const { docker, volume, folder, data, destination, id, signal } = input;
  if (volume !== null) {
    await docker.ensureVolume({ name: volume, labels: { [serverLabel]: id } }, { signal });
    const here = await docker.volumeHostPath(volume, { signal });
    if (here === undefined) {
      throw invalid(
        'The volumes of the Docker Engine cannot be reached from here.',
        'Run Varve on the host of the Engine as root, or mount the folder of its volumes into the container of Varve.',
      );
    }
    return { here, there: volumeTarget, mount: { type: 'volume', source: volume, target: volumeTarget } };
  }
  if (folder === null) throw new AppError('INTERNAL', 'A recovery without a folder.');
  if (destination.type === 'in-place' && data !== null) {
    const { mount, mountHere } = data;
    const there = posix.join(mount.destination, folder.slice(mountHere.length));
    const source = mount.type === 'volume' ? (mount.name ?? '') : mount.source;
    return {
      here: folder,
      there,
      mount: { type: mount.type === 'volume' ? 'volume' : 'bind', source, target: mount.destination },
    };
  }
  await mkdir(folder, { mode: 0o700 });
  const visible = await docker.volumeHostPath(bindMount(folder), { signal });
  if (visible === undefined || (await stat(visible)).ino !== (await stat(folder)).ino) {
    throw invalid(
      `The Docker Engine does not see the folder ${dirname(folder)}.`,
      'Run Varve on the host of the Engine, or recover into a sandbox.',
    );
  }
  return { here: folder, there: volumeTarget, mount: { type: 'bind', source: folder, target: volumeTarget } };
}

/** A server in a container that is there. */
export function containerServer(
  docker: DockerEngine,
  container: string,
  options: { readonly place: RecoveryPlace; readonly users: readonly string[] },
): RecoveryServer {
  return {
    start: () => docker.start(container),
    isRunning: async () => {
      try {
        return (await docker.inspectContainer(container)).state === 'running';
      } catch (error) {
        if (isAppError(error, 'DOCKER_NOT_FOUND')) return false;
        throw error;
      }
    },
    stop: async (mode) => {
      try {
        await docker.stop(container, { timeoutS: mode === 'fast' ? stopTimeoutS : 0 });
      } catch (error) {
        if (!isAppError(error, 'DOCKER_NOT_FOUND')) throw error;
      }
    },
    promote: async () => {
      const { connection } = await openSession({
        place: options.place,
        users: options.users,
        context: { signal: new AbortController().signal },
      });
      await using open = connection;
      await open.query('select pg_promote(true, 60)');
    },
  };
}

/** The place of a sandbox in a volume; undefined when the volume is gone. */
export async function dockerPlace(
  docker: DockerEngine,
  record: { readonly id: string; readonly volume: string; readonly owner: FileOwner | undefined },
): Promise<RecoveryPlace | undefined> {
  const here = await docker.volumeHostPath(record.volume);
  if (here === undefined) return undefined;
  const socketHere = await shortSocketFolder(join(here, placeNames.socket), record.id);
  const socketThere = posix.join(volumeTarget, placeNames.socket);
  return { here, there: volumeTarget, owner: record.owner, socketHere, socketThere };
}

function invalid(message: string, hint: string): AppError {
  return new AppError('RESTORE_TARGET_INVALID', message, { hint });
}
