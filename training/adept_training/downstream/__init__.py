"""Downstream: labelled data sets, fine-tuning, evaluation, few-shot and comparison over label budgets."""
