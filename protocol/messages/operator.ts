/**
 * OperatorProtocol: what our own tools ask of the namenode and HDFS's protocols have no method for. It is
 * an addition on the same port; nothing that stores or reads data needs it. Messages are in
 * `operator-*.ts`, one file per subject.
 *
 * Rules: every method may be repeated (`read` or `idempotent`); a method that changes anything needs a
 * superuser; a field is only ever added, with a number of its own. See docs/protocol/operator.md.
 */
import { method, service } from '../message.ts'
import {
  getHistoryRequest,
  getHistoryResponse,
  getRepairStateRequest,
  listEventsRequest,
  listEventsResponse,
  repairStateResponse,
} from './operator-activity.ts'
import {
  beginBackupRequest,
  beginBackupResponse,
  endBackupRequest,
  readBackupRequest,
  readBackupResponse,
} from './operator-backup.ts'
import { balanceResponse, getBalanceRequest, setBalanceRequest } from './operator-balance.ts'
import {
  explainBlockRequest,
  explainBlockResponse,
  explainDatanodeRequest,
  explainDatanodeResponse,
} from './operator-explain.ts'
import {
  listDatanodesRequest,
  listDatanodesResponse,
  repairGuardResponse,
  safeModeStatus,
  setDatanodeGoalRequest,
  setDatanodeGoalResponse,
} from './operator-nodes.ts'
import { chooseDatanodeRequest, chooseDatanodeResponse } from './operator-placement.ts'
import { emptyMessage } from './rpc.ts'

export const operatorProtocol = service('trefoil.OperatorProtocol', {
  getRepairGuard: method(emptyMessage, repairGuardResponse, 'read'),
  getSafeMode: method(emptyMessage, safeModeStatus, 'read'),
  resumeRepair: method(emptyMessage, repairGuardResponse, 'idempotent'),
  explainBlock: method(explainBlockRequest, explainBlockResponse, 'read'),
  explainDatanode: method(explainDatanodeRequest, explainDatanodeResponse, 'read'),
  beginBackup: method(beginBackupRequest, beginBackupResponse, 'idempotent'),
  readBackup: method(readBackupRequest, readBackupResponse, 'read'),
  endBackup: method(endBackupRequest, emptyMessage, 'idempotent'),
  listDatanodes: method(listDatanodesRequest, listDatanodesResponse, 'read'),
  setDatanodeGoal: method(setDatanodeGoalRequest, setDatanodeGoalResponse, 'idempotent'),
  getBalance: method(getBalanceRequest, balanceResponse, 'read'),
  setBalance: method(setBalanceRequest, balanceResponse, 'idempotent'),
  getHistory: method(getHistoryRequest, getHistoryResponse, 'read'),
  getRepairState: method(getRepairStateRequest, repairStateResponse, 'read'),
  listEvents: method(listEventsRequest, listEventsResponse, 'read'),
  chooseDatanode: method(chooseDatanodeRequest, chooseDatanodeResponse, 'read'),
})
