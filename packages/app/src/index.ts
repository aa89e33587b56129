export { openVarve } from './varve.ts';
export { defaultDataDirectory } from './data-directory.ts';
export { varveVersion } from './version.ts';
export type {
  ConnectRepository,
  Discovery,
  Download,
  OpenVarveOptions,
  RepositoryPlace,
  TestStorage,
  Varve,
  WaitForJob,
} from './facade.ts';
