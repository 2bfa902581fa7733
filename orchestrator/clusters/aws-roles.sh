#!/usr/bin/env bash
# The two roles of cluster.yaml: a head that may start workers, and workers that reach one bucket and nothing else.
#   bash orchestrator/clusters/aws-roles.sh BUCKET      needs the AWS CLI, and may be run again
set -euo pipefail
bucket=${1:?usage: aws-roles.sh BUCKET}
account=$(aws sts get-caller-identity --query Account --output text)

trust='{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
  "Principal": {"Service": "ec2.amazonaws.com"}}]}'
results='{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::'$bucket'"},
  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
   "Resource": "arn:aws:s3:::'$bucket'/*"}]}'
workers='{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::'$account':role/lethe-worker"},
  {"Effect": "Allow", "Action": "ssm:GetParameters", "Resource": "arn:aws:ssm:*::parameter/aws/service/*"}]}'

for role in lethe-head lethe-worker; do
  if ! aws iam get-instance-profile --instance-profile-name "$role" > /dev/null 2>&1; then
    aws iam create-role --role-name "$role" --assume-role-policy-document "$trust" > /dev/null
    aws iam create-instance-profile --instance-profile-name "$role" > /dev/null
    aws iam add-role-to-instance-profile --instance-profile-name "$role" --role-name "$role"
  fi
  aws iam put-role-policy --role-name "$role" --policy-name results --policy-document "$results"
done
aws iam put-role-policy --role-name lethe-head --policy-name workers --policy-document "$workers"
aws iam attach-role-policy --role-name lethe-head --policy-arn arn:aws:iam::aws:policy/AmazonEC2FullAccess
echo "roles lethe-head and lethe-worker are ready; results go to s3://$bucket"
